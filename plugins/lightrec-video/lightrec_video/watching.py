"""Video in particular: series are watched in order."""

import polars as pl

from lightrec.api import NotApplicable
from lightrec.ranking.item_models.series import NextInSeries


class NextEpisode(NextInSeries):
    """Scores the next episode of each series that a viewer follows.

    The episode after one seen a steps ago scores ``decay ** a``, unless it was seen, too. All else
    scores 0. Episodes follow each other by the attributes ``season``, where there is one, and
    ``episode``.

    :param decay: what a step of age leaves.
    :param series: the items' attribute that names their series; null for a film.
    """

    def __init__(self, decay: float | None = None, series: str = "series") -> None:
        super().__init__(decay)
        self.series = series

    def pairs(self, items: pl.DataFrame) -> pl.DataFrame:
        """Find episodes, and those that follow them.

        :raises NotApplicable: where the catalog has no attributes of episodes.
        """
        order = [name for name in ("season", "episode") if name in items.columns]
        if self.series not in items.columns or "episode" not in order:
            raise NotApplicable(f"The items have no attributes {self.series!r} and 'episode'.")
        rows = items.drop_nulls([self.series, "episode"]).sort(self.series, *order, "row")
        rows = rows.select("row", next=pl.col("row").shift(-1).over(self.series))
        return rows.drop_nulls()
