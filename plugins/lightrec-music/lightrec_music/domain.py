"""Tracks and artists: how they are put into words, what a skip is worth, and a made-up log."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import polars as pl

from lightrec.data.domain import Domain
from lightrec.keys import Column

LISTED = ("artist", "album", "tags", "genres")
"""Attributes that are put into words, in this order, where a catalog has them."""


class MusicDomain(Domain):
    """Music, which people play again: title, artist, album and tags make the text.

    A skip stays in the history and is never a target.
    """

    name = "music"
    repeats = True
    feedback: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"play": 1.0, "count": 1.0, "love": 2.0, "skip": -1.0, "ban": -1.0}
    )

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put music into words: ``Hyperballad. Artist: Björk. Tags: electronic, icelandic``.

        :param items: a catalog, of which ``title`` and the attributes :data:`LISTED` (words, or
            lists of words) are used where they are there.
        :returns: one string an item; empty where nothing is known.
        """
        parts = [pl.col(Column.TITLE)] if Column.TITLE in items.columns else []
        for name in LISTED:
            words = pl.col(name)
            if isinstance(items.schema.get(name), pl.List):
                words = words.cast(pl.List(pl.String)).list.join(", ")
            elif name not in items.columns:
                continue
            words = words.cast(pl.String)
            # An empty list is nothing, and not an empty word.
            parts.append(pl.format(f"{name.capitalize()}: {{}}", pl.when(words != "").then(words)))
        text = pl.concat_str(parts or [pl.lit("")], separator=". ", ignore_nulls=True)
        return items.with_columns(text.fill_null("").alias(Column.TEXT))[Column.TEXT]

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the made-up log of :mod:`lightrec_music.made_up`."""
        from lightrec_music.made_up import listening  # whoever asks only for words needs none

        return listening(folder, seed)
