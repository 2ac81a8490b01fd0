"""What is true of video: series are watched in order, and time is what viewers give."""

from typing import ClassVar, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.errors import NotApplicable
from lightrec.keys import PADDING
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details
from lightrec.rewards.base import LengthReward


class NextEpisode(ItemModel):
    """Scores the next episode of each series that a viewer follows.

    The episode after one seen a steps ago scores ``decay ** a``, unless it was seen, too. All else
    scores 0. Episodes follow each other by the attributes ``season``, where there is one, and
    ``episode``.

    :param decay: what a step of age leaves.
    :param series: the items' attribute that names their series; null for a film.
    """

    GRID: ClassVar = {"decay": (0.5, 0.8, 0.95)}

    following: Tensor
    """(N + 1,) int64: the item after each; 0 where none comes."""

    def __init__(self, decay: float | None = None, series: str = "series") -> None:
        super().__init__()
        self.decay, self.series = decay, series

    def fit(self, evidence: Evidence) -> Self:
        """Find each episode's next one.

        :raises NotApplicable: where the catalog has no series with two episodes.
        """
        table = evidence.items
        order = [name for name in ("season", "episode") if name in table.columns]
        if self.series not in table.columns or "episode" not in order:
            raise NotApplicable(f"The items have no attributes {self.series!r} and 'episode'.")
        rows = table.with_columns(row=pl.int_range(1, pl.len() + 1))
        rows = rows.drop_nulls([self.series, "episode"]).sort(self.series, *order, "row")
        rows = rows.select("row", next=pl.col("row").shift(-1).over(self.series)).drop_nulls()
        if rows.is_empty():
            raise NotApplicable(f"No {self.series!r} of the items has two episodes.")
        following = np.zeros(evidence.num_items + 1, np.int64)
        following[rows["row"].to_numpy()] = rows["next"].to_numpy()
        self.register_buffer("following", torch.from_numpy(following))
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1)."""
        ages = torch.arange(histories.shape[1] - 1, -1, -1, device=histories.device)
        decay = 0.8 if self.decay is None else self.decay
        found = torch.zeros(len(histories), len(self.following), device=histories.device)
        weights = (decay**ages).float().expand(histories.shape)
        found.scatter_reduce_(1, self.following[histories], weights, "amax")
        found.scatter_(1, histories, 0.0)
        found[:, PADDING] = 0.0
        return found


class WatchTime(LengthReward):
    """What an accepted title is expected to be watched, from 0 to 1.

    Seconds alone pay for long films, and the share that is watched for short clips: so the reward
    is a mean of the two, seconds as shares of the longest title. The values of the log are seconds
    watched (compare Covington et al. 2016, who rank by expected watch time).

    :param completion: how much the share of the title's own length counts, 0 to 1.
    :param length: the items' attribute that holds their seconds.
    """

    def __init__(self, completion: float = 0.5, length: str = "duration") -> None:
        super().__init__(length, completion=completion)
