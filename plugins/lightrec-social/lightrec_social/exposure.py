"""Who is shown: how exposure is spread over the people who made items, and what that is worth."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import TRAIN, EventStore
from lightrec.errors import RecipeError
from lightrec.evaluation.base import Curve, Evaluator, Findings, Metrics, Section, Table
from lightrec.evaluation.held_out import HeldOutLog, mean_of_users, scorers_of
from lightrec.keys import PADDING, Key
from lightrec.ranking.metrics import RankingResult
from lightrec.ranking.scorers import Scorer
from lightrec.rewards.base import Reward, RewardContext
from lightrec.run import Run
from lightrec_social.domain import MAKER

FEW: Final = 5
"""At most so many training events are few for a user."""
COLUMNS: Final = {
    "gini": "Gini",
    "reached": "makers shown",
    "newcomers": "newcomers' share",
    "ndcg@10": "NDCG@10",
    "few/ndcg@10": "of users with few events",
}
CHOICES: Final = "choices"
TINY: Final = 1e-9
"""Below every sum of exposure but 0."""


class Exposure(Evaluator):
    """Both sides of a network: how exposure is spread over makers, and whom rankings serve.

    What stands at rank r of a list of ten has exposure 1 / log2(1 + r) (Singh and Joachims 2018,
    "Fairness of exposure in rankings"). It goes to the item's maker, or to the item itself where
    the catalog names none.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param few: a maker whose items have at most so many training events is a newcomer.
    :param models: item models that are shown besides blend and popularity.
    :param bonuses: one or more, in nats, by which newcomers' items gain in the second table.
    """

    def __init__(
        self,
        max_events: int | None = 20_000,
        few: int = 10,
        models: Sequence[str] = ("FriendsTaste",),
        bonuses: Sequence[float] = (0.0, 0.5, 1.0, 2.0),
    ) -> None:
        self.max_events, self.few = max_events, few
        self.models, self.bonuses = tuple(models), tuple(bonuses)

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``social/<contender>/…``, ``social/choices/…`` and ``social/bonus-<nats>/…``."""
        store, scorers = run.data, scorers_of(run, self.models)
        makers, counts = events_of_makers(store)
        new = counts <= self.few
        newcomers = torch.from_numpy(np.append(False, new[makers]))
        for bonus in self.bonuses:
            scorers[f"bonus-{bonus:g}"] = _raised(scorers["blend"], bonus * newcomers)
        metrics = {"social/makers": len(counts), "social/newcomers": float(new.mean())}
        log = HeldOutLog(self.max_events)
        for name, scorer in scorers.items():
            result = log.rank(store, scorer, seed)
            assert result.lists is not None
            found = spread_of(exposure(result.lists, makers, len(counts)), new)
            found |= served(store, result, seed)
            metrics |= {f"social/{name}/{key}": value for key, value in found.items()}
        chosen = spread_of(exposure(result.targets[:, None], makers, len(counts)), new)
        metrics |= {f"social/{CHOICES}/{key}": value for key, value in chosen.items()}
        return Findings(metrics, [self.section(metrics)], [verdict(metrics)])

    def section(self, metrics: Metrics) -> Section:
        """Set how exposure is spread, and what a bonus for newcomers costs and gives."""
        titles = {name: name for name in ("blend", *self.models, "popularity")}
        titles[CHOICES] = "what people chose"
        bonuses = {f"bonus-{bonus:g}": f"{bonus:g} nats" for bonus in self.bonuses}
        text = (
            f"The items have {int(metrics['social/makers']):,} makers, of whom "
            f"{metrics['social/newcomers']:.0%} are newcomers, with at most {self.few} training "
            "events. Exposure is 1 / log2(1 + rank) in lists of ten. Its Gini coefficient is 0 "
            "where all makers have the same, and 1 where one has all."
        )
        tables = [
            Table.of(metrics, "social/{}/{}", titles, COLUMNS, own="blend"),
            Table.of(metrics, "social/{}/{}", bonuses, COLUMNS, "newcomers gain"),
        ]
        axes = {"newcomers": "newcomers' share of exposure", "ndcg@10": "NDCG@10"}
        x, y = ([metrics[f"social/{name}/{key}"] for name in bonuses] for key in axes)
        words = [f"{bonus:g}" for bonus in self.bonuses]
        chart = Curve(x, y, (*axes.values(),), "a bonus for newcomers, in nats", words)
        note = f"Users with few events have at most {FEW} in training."
        return Section("Who is shown", text, tables, [chart], note)


def events_of_makers(store: EventStore) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give each item's maker, (N,) from 0, and each maker's training events, (M,).

    An item whose maker is unknown is its own.
    """
    maker = items = pl.format("item {}", "item")
    if MAKER in store.catalog.columns and not store.catalog.schema[MAKER].is_nested():
        maker = pl.coalesce(pl.format("maker {}", MAKER), items)
    rows = store.catalog.select(maker.rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    return rows, np.bincount(rows, store.popularity()[1:])


def exposure(lists: Tensor, makers: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Sum the exposure of each maker: (M,).

    :param lists: (B, K) int64 items, best first; 0 is no item.
    :param makers: (N,) of the items.
    :param count: M.
    """
    weights = 1 / np.log2(2 + np.arange(lists.shape[1]))
    shown = lists.numpy()
    there = shown != PADDING
    spread = np.broadcast_to(weights, shown.shape)[there]
    return np.bincount(makers[shown[there] - 1], spread, minlength=count)


def gini(values: NDArray[np.float64]) -> float:
    """Give the Gini coefficient of numbers of 0 or more: 0 where they are equal.

    It is half the mean absolute difference of two of them, over their mean; 0 of all zeros.
    """
    ranks = 2 * np.arange(1, len(values) + 1) - len(values) - 1
    return float(ranks @ np.sort(values) / (len(values) * max(values.sum(), TINY)))


def spread_of(values: NDArray[np.float64], new: NDArray[np.bool_]) -> dict[str, float]:
    """Describe exposure (M,): ``gini``, the share ``reached`` at all, that of ``newcomers``."""
    share = float(values[new].sum() / max(values.sum(), TINY))
    return {"gini": gini(values), "reached": float((values > 0).mean()), "newcomers": share}


def served(store: EventStore, result: RankingResult, seed: int) -> dict[str, float]:
    """Give NDCG@10 of all users, and of those with few training events, with intervals."""
    trained = np.bincount(store.users_of(store.events(TRAIN)), minlength=store.num_users)
    few = torch.from_numpy(trained <= FEW)[result.users]
    values = result.per_event([10])["ndcg@10"]
    found = mean_of_users("ndcg@10", values, result.users, seed)
    return found | mean_of_users("few/ndcg@10", values[few], result.users[few], seed)


def _raised(scorer: Scorer, bonus: Tensor) -> Scorer:
    return lambda batch: scorer(batch) + bonus


def verdict(metrics: Metrics) -> str:
    """Compare newcomers' share of exposure with that of what people choose."""
    shown, chosen = (metrics[f"social/{name}/newcomers"] for name in ("blend", CHOICES))
    return (
        f"Newcomers are {metrics['social/newcomers']:.0%} of the makers; they have {chosen:.1%} of "
        f"what people chose and {shown:.1%} of the exposure that the blend gives."
    )


class ExposureReward(Reward):
    """1 for an accepted item, and a bonus that its maker's training events make smaller.

    The bonus is ``bonus`` / √(1 + c) for a maker whose items have c training events. People who
    post are users, too: who is never seen stops posting.

    :param bonus: for a maker without any event.
    :raises RecipeError: where it is below 0.
    """

    worth: Tensor
    """(N + 2,) float32: of each item, 0 of padding and of nothing."""

    def __init__(self, bonus: float = 1.0) -> None:
        super().__init__()
        if bonus < 0:
            raise RecipeError(f"The bonus for seldom seen makers is {bonus}; give 0 or more.")
        self.bonus = bonus

    def bind(self, context: RewardContext) -> None:
        """Count the events of the items' makers; an item without a maker is its own.

        :raises NotApplicable: where there is no log.
        """
        makers, counts = events_of_makers(context.store)
        bonus = self.bonus / np.sqrt(1 + counts[makers])
        worth = torch.from_numpy(1 + bonus).float()
        self.register_buffer("worth", torch.nn.functional.pad(worth, (1, 1)))

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        return self.of_taken(transition, self.worth[transition[Key.ACTION]])
