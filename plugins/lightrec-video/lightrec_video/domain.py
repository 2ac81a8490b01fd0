"""Films and series: how they are put into words, the MovieLens sample, and a made-up log."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from lightrec.api import Column, Domain

# "Usual Suspects, The (…)": the article stands behind the name for sorting.
_ARTICLE_BEHIND: Final = r"^(.+?), (The|An?|La|Le|Les|Il|El|Der|Die|Das)((?: \(.*\))?)$"


class VideoDomain(Domain):
    """Films and series, seen once: title, year and genres make the text.

    A title that was abandoned stays in the history and is never a target.
    """

    name = "video"
    repeats = False
    words = MappingProxyType({"title": "{}", "genres": "Genres: {}"})
    sample_name = "movielens-100k"
    feedback = MappingProxyType({"watch": 1.0, "rating": 1.0, "trailer": 0.1, "abandon": -1.0})

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put films into words: ``Toy Story (1995). Genres: Animation, Children's, Comedy``.

        :param items: a catalog, of which ``title``, ``year`` and ``genres`` (a list, or a string
            that is taken as it is) are used where they are there.
        """
        if Column.TITLE not in items.columns:
            return super().text(items)
        title = pl.col(Column.TITLE).str.replace(_ARTICLE_BEHIND, "${2} ${1}${3}")
        if "year" in items.columns:
            title = pl.coalesce(pl.format("{} ({})", title, "year"), title)
        return super().text(items.with_columns(title.alias(Column.TITLE)))

    def sample(self) -> Path:
        """Fetch MovieLens-100K, or find it where it was fetched before.

        :returns: a folder of canonical Parquet files.
        :raises FetchError: where neither source can be reached.
        """
        from lightrec_video.fetch import fetch_movielens_100k  # words need none of it

        return fetch_movielens_100k()

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the made-up log of :mod:`lightrec_video.made_up`."""
        from lightrec_video.made_up import watching  # words need none of it

        return watching(folder, seed)
