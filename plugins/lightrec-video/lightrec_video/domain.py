"""Films and series: how they are put into words, the MovieLens sample, and a synthetic log."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl
from lightrec_formats.masks import Mask, between, every, up_to, within
from lightrec_formats.names import names_in

from lightrec.api import Audience, Column, Domain

ADULT: Final = 18

# "Usual Suspects, The (…)": the article stands behind the name for sorting.
_ARTICLE_BEHIND: Final = r"^(.+?), (The|An?|La|Le|Les|Il|El|Der|Die|Das)((?: \(.*\))?)$"


class VideoDomain(Domain):
    """Films and series, seen once: title, year and genres make the text.

    A title that was abandoned stays in the history and is never a target. What must not be shown is
    read from attributes, each of which a log may lack:

    - ``age_rating`` of titles, the years from which they may be watched, and ``age`` of viewers.
      Where both are there, a title without a rating is for adults, and somebody of unknown age is
      taken for a child.
    - ``licence_starts`` and ``licence_ends`` of titles.
    - ``territories`` of titles, the countries of their licence, and ``country`` of viewers.
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

    def eligible(self, audience: Audience) -> Mask | None:
        """Forbid titles above the viewer's age, and outside of the time and place of a licence."""
        asked = "age_rating" in audience.items.columns and "age" in audience.users.columns
        return every(
            audience,
            up_to(audience, "age_rating", "age", unknown=(ADULT, 0)) if asked else None,
            between(audience, "licence_starts", "licence_ends"),
            within(audience, "territories", "country"),
        )

    def words_of(self, attribute: str, items: pl.DataFrame) -> list[str]:
        """Let people be in any country that an item names."""
        return names_in(items, "territories") if attribute == "country" else []

    def sample(self) -> Path:
        """Fetch MovieLens-100K, or find it where it was fetched before.

        :returns: a folder of canonical Parquet files.
        :raises FetchError: where neither source can be reached.
        """
        from lightrec_video.fetch import fetch_movielens_100k  # words need none of it

        return fetch_movielens_100k()

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the synthetic log of :mod:`lightrec_video.made_up`."""
        from lightrec_video.made_up import watching  # words need none of it

        return watching(folder, seed)
