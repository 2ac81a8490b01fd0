"""Time or attention that held-out events took: how much of it lists find, and of what length."""

from contextlib import suppress
from typing import Final

import numpy as np
import polars as pl
import torch
from torch.nn.functional import pad

from lightrec.api import (
    PADDING,
    Evaluator,
    Findings,
    HeldOutLog,
    NotApplicable,
    RewardContext,
    Run,
    Section,
    Table,
    interval,
    mean_of_users,
    scorers_of,
    spread,
)

ROWS: Final = {"blend": "blend", "policy": "policy", "popularity": "popularity"}
COLUMNS: Final = {
    "events@10": "events found",
    "spent@10": "of what was spent, found",
    "share@10": "share of an item, where found",
    "length@10": "mean length shown",
}


class TimeSpent(Evaluator):
    """Tells lists that find what people start from lists that find what they stay with.

    Of the held-out events and of what was spent on them, such as seconds of reading or watching,
    how much stands in lists of ten; what share of an item was read or watched where it was found;
    and how long the items are that lists show. Lists that follow clicks into bait find a larger
    part of the events than of what was spent, and lists that follow long items show long ones.

    It says nothing where the log has no values, or the items no length.

    :param length: the items' attribute, how long they are.
    :param unit: how much value a unit of length takes, as for ``LengthReward``.
    """

    def __init__(self, length: str, unit: float = 1.0) -> None:
        self.length, self.unit = length, unit

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``spent/share``, of all held-out events, and ``spent/<recommender>/<measure>``."""
        store, log, view = run.data, HeldOutLog(), run.data.without_cold
        lengths = None
        with suppress(NotApplicable):
            column = RewardContext(store=store).item_attribute(self.length)
            lengths = column.cast(pl.Float64, strict=False).fill_null(0.0).to_torch()
        events = log.events(store, seed)
        values = np.asarray(view.strengths)[view.in_sequence][events.events]
        spent = torch.from_numpy(values).double().clamp(min=0)
        if lengths is None or not lengths.sum() or not len(spent) or spent.unique().numel() < 2:
            return Findings({})
        whole, metrics = pad(lengths * self.unit, (1, 0)), dict[str, float]()
        for name, scorer in scorers_of(run, (), policy=True).items():
            result = log.rank(store, scorer, seed)
            known = whole[result.targets] > 0
            share = (spent / whole[result.targets].where(known, torch.inf)).clamp(max=1)
            hit, users = (result.ranks <= 10).double(), result.users
            there = (result.lists != PADDING).sum(1).clamp(min=1)
            shown = pad(lengths, (1, 0))[result.lists]
            measures = {
                "events": (hit, known),
                "spent": (hit * spent / spent.mean(), known),
                "share": (share, known & (hit > 0)),
                "length": (shown.sum(1) / there, known),
            }
            for key, (each, of) in measures.items():
                metrics |= mean_of_users(f"spent/{name}/{key}@10", each[of], users[of], seed)
        metrics |= mean_of_users("spent/share", share[known], users[known], seed)
        return Findings(metrics, [self.section(metrics)], [verdict(metrics)])

    def section(self, metrics: dict[str, float]) -> Section:
        """Set what lists find, and how long it is."""
        text = (
            "Of the held-out events, and of what people spent on them, the share that lists of ten "
            f"find; the share of an item that was spent, which is {_of(metrics, 'spent/share')} "
            f"over all held-out events; and the mean {self.length!r} of what is shown."
        )
        return Section("Time spent", text, [Table.of(metrics, "spent/{}/{}", ROWS, COLUMNS)])


def verdict(metrics: dict[str, float]) -> str:
    """Say whether the blend finds what people stay with."""
    events, spent = (_of(metrics, f"spent/blend/{key}@10") for key in ("events", "spent"))
    return f"The blend's first ten find {events} of the events, and {spent} of what was spent."


def _of(metrics: dict[str, float], key: str) -> str:
    return spread(interval(metrics, key), ".0%")
