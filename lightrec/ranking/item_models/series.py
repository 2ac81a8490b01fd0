"""The next of a series: the volume after the last one that somebody had."""

from typing import ClassVar, Final, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Column
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details

NUMBERED: Final = (
    r"^(.*?[^\s,:#(–-])[\s,:#(–-]+(?i:vol(?:ume)?\.?|part|book|no\.?|band|teil|tome)?\s*#?"
    r"(\d{1,3})(?:\)|\s*[:–-]\s.*|\s+\(.*)?$"
)
"""A title's series and number, such as ``Tales 2``, ``Tales, Vol. 2`` and ``Tales 2: Home``."""


class NextInSeries(ItemModel):
    """Scores the next item of each series that somebody follows.

    The item after one of a steps ago scores ``decay ** a``, unless it was had, too. All else
    scores 0. Titles say what is next: of ``Tales 2`` that is ``Tales 3``, and of ``Tales`` it is
    ``Tales 2``.

    :param decay: what a step of age leaves.
    """

    GRID: ClassVar = {"decay": (0.5, 0.8, 0.95)}
    SCORING: ClassVar = frozenset({"decay"})

    following: Tensor
    """(N + 1,) int64: the item after each; 0 where none comes."""

    def __init__(self, decay: float | None = None) -> None:
        super().__init__()
        self.decay = decay

    def fit(self, evidence: Evidence) -> Self:
        """Find what is next of each item.

        :raises NotApplicable: where no series has two items.
        """
        rows = self.pairs(evidence.items.with_columns(row=pl.int_range(1, pl.len() + 1)))
        if rows.is_empty():
            raise NotApplicable("No series has two items that follow each other.")
        following = np.zeros(evidence.num_items + 1, np.int64)
        following[rows["row"].to_numpy()] = rows["next"].to_numpy()
        self.register_buffer("following", torch.from_numpy(following))
        return self

    def pairs(self, items: pl.DataFrame) -> pl.DataFrame:
        """Find items, ``row``, and those that follow them, ``next``.

        :param items: the catalog, with the items' numbers as ``row``.
        :raises NotApplicable: where the catalog does not tell.
        """
        if Column.TITLE not in items.columns:
            raise NotApplicable("The items have no titles, which could tell of series.")
        title = pl.col(Column.TITLE).str.strip_chars()
        rows = items.select(
            "row",
            series=title.str.extract(NUMBERED).fill_null(title),
            number=title.str.extract(NUMBERED, 2).cast(pl.Int64).fill_null(1),
        ).unique(["series", "number"], keep="first")
        after = rows.select("series", pl.col("number") - 1, next="row")
        return rows.join(after, on=["series", "number"]).select("row", "next")

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1)."""
        ages = torch.arange(histories.shape[1] - 1, -1, -1, device=histories.device)
        decay = 0.8 if self.decay is None else self.decay
        scores = torch.zeros(len(histories), len(self.following), device=histories.device)
        weights = (decay**ages).float().expand(histories.shape)
        scores.scatter_reduce_(1, self.following[histories], weights, "amax")
        scores.scatter_(1, histories, 0.0)
        scores[:, PADDING] = 0.0
        return scores
