"""Tracks and artists: how they are put into words, what a skip is worth, and a synthetic log."""

from pathlib import Path
from types import MappingProxyType

import polars as pl
from lightrec_formats.masks import Mask, every, up_to, within, without
from lightrec_formats.names import names_in

from lightrec.api import Audience, Domain

EXPLICIT = "explicit"
"""The attribute of tracks, and of listeners who may hear such."""


class MusicDomain(Domain):
    """Music, which people play again: ``Hyperballad. Artist: Björk. Tags: electronic, icelandic``.

    A skip stays in the history and is never a target. What its listener banned does not come again.
    What else must not be shown is read from attributes, each of which a log may lack: ``explicit``
    of tracks, true where they are, and of listeners, false where they want or may hear none;
    ``territories`` of tracks, the countries in which they may be played, and ``country`` of
    listeners.
    """

    name = "music"
    repeats, by_history = True, True
    words = MappingProxyType(
        {
            "title": "{}",
            "artist": "Artist: {}",
            "album": "Album: {}",
            "tags": "Tags: {}",
            "genres": "Genres: {}",
        }
    )
    feedback = MappingProxyType({"play": 1.0, "count": 1.0, "love": 2.0, "skip": -1.0, "ban": -1.0})

    def eligible(self, audience: Audience) -> Mask | None:
        """Forbid banned tracks, explicit ones to those who want none, and those of elsewhere.

        Where listeners were asked, an unknown user hears none that is explicit either; a track of
        which it is not known counts as explicit.
        """
        asked = EXPLICIT in audience.items.columns and EXPLICIT in audience.users.columns
        return every(
            audience,
            up_to(audience, EXPLICIT, EXPLICIT, unknown=(1, 0)) if asked else None,
            within(audience, "territories", "country"),
            without(audience, "ban"),
        )

    def words_of(self, attribute: str, items: pl.DataFrame) -> list[str]:
        """Let people be in any country that an item names."""
        return names_in(items, "territories") if attribute == "country" else []

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the synthetic log of :mod:`lightrec_music.made_up`."""
        from lightrec_music.made_up import listening  # whoever asks only for words needs none

        return listening(folder, seed)
