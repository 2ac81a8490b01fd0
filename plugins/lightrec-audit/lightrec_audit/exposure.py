"""Who is shown: how the exposure that lists give is spread over those who provide the items."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.api import PADDING, EventStore, HeldOutLog, Run, scorers_of
from lightrec.data.attributes import providers_of
from lightrec.evaluation.base import Evaluator, Findings, Metrics, Section, Table

Floats = NDArray[np.float64]
TITLE: Final = "Who is shown"
COLUMNS: Final = {
    "gini": "Gini",
    "reached": "providers shown",
    "newcomers": "newcomers' share",
    "misplaced": "exposure misplaced",
}
CHOICES: Final = "choices"
FEW: Final = 10
"""Training events that the items of a newcomer have at most."""


class ProviderExposure(Evaluator):
    """Compares the exposure of those who provide items with what people chose of theirs.

    What stands at rank r of a list of ten has exposure 1 / log2(1 + r) (Singh and Joachims 2018,
    "Fairness of exposure in rankings"). It goes to the item's provider, whose merit is the number
    of held-out events about their items. Attention is equitable where exposure is proportional to
    merit (Biega, Gummadi and Weikum 2018, "Equity of attention"): ``misplaced`` is the share of all
    exposure that would have to go to somebody else for that, half the sum of distances.

    :param provider: the items' attribute that names it, such as a maker, a seller or a publisher;
        of a list the first. An item without one is its own.
    :param models: item models that are shown besides blend, policy and popularity.
    """

    def __init__(self, provider: str, models: Sequence[str] = ()) -> None:
        self.provider, self.models = provider, tuple(models)

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``exposure/<recommender>/…``, and what was chosen as ``exposure/choices/…``.

        Where the items have no such attribute there are no metrics, and the section says so.
        """
        store, log = run.data, HeldOutLog()
        if self.provider not in store.catalog.columns:
            text = f"The items have no attribute {self.provider!r}, so nobody is known to gain."
            return Findings({}, [Section(TITLE, text)])
        providers, counts = events_of_providers(store, self.provider)
        new = counts <= FEW
        metrics = {"exposure/providers": len(counts), "exposure/newcomers": float(new.mean())}
        scorers = scorers_of(run, self.models, policy=True)
        results = {name: log.rank(store, scorer, seed) for name, scorer in scorers.items()}
        chosen = results["blend"].targets[:, None]
        lists = {name: result.lists for name, result in results.items()} | {CHOICES: chosen}
        merit = exposure(chosen, providers, len(counts))
        for name, listed in lists.items():
            figures = spread_of(exposure(listed, providers, len(counts)), merit, new)
            metrics |= {f"exposure/{name}/{key}": value for key, value in figures.items()}
        return Findings(metrics, [self.section(metrics)])

    def section(self, metrics: Metrics) -> Section:
        """Set how exposure is spread."""
        rows = {name: name for name in ("blend", "policy", *self.models, "popularity")}
        rows[CHOICES] = "what people chose"
        text = (
            f"The items have {int(metrics['exposure/providers']):,} providers, of whom "
            f"{metrics['exposure/newcomers']:.0%} are newcomers, with at most {FEW} training "
            "events. Exposure is 1 / log2(1 + rank) in lists of ten. Its Gini coefficient is 0 "
            "where all providers have the same, and 1 where one has all. Misplaced is what would "
            "have to go to others for exposure to be proportional to what people chose."
        )
        table = Table.of(metrics, "exposure/{}/{}", rows, COLUMNS, own="blend")
        return Section(TITLE, text, [table])


def events_of_providers(store: EventStore, attribute: str) -> tuple[NDArray[np.int64], Floats]:
    """Each item's provider, (N,) from 0, and each provider's training events, (P,).

    An item whose provider is not known is its own.
    """
    rows = providers_of(
        store.catalog.get_column(attribute, default=pl.Series([None] * store.num_items))
    )
    return rows, np.bincount(rows, store.popularity()[1:]).astype(np.float64)


def exposure(lists: Tensor, providers: NDArray[np.int64], count: int) -> Floats:
    """Sum the exposure of each provider: (P,).

    :param lists: (B, K) int64 items, best first; 0 is no item.
    :param providers: (N,) of the items.
    :param count: P.
    """
    weights = 1 / torch.arange(2.0, lists.shape[1] + 2, dtype=torch.float64).log2()
    there = lists != PADDING
    shown = providers[lists[there].numpy() - 1]
    summed = np.bincount(shown, weights.expand(lists.shape)[there].numpy(), count)
    return summed.astype(np.float64)


def gini(values: Floats) -> float:
    """The Gini coefficient of numbers of 0 or more: 0 where they are equal.

    It is half the mean absolute difference of two of them, over their mean; 0 of all zeros.
    """
    ranks = 2 * np.arange(1, len(values) + 1) - len(values) - 1
    return float(ranks @ np.sort(values) / (len(values) * (values.sum() or 1)))


def spread_of(values: Floats, merit: Floats, new: NDArray[np.bool_]) -> dict[str, float]:
    """Describe exposure (P,): its ``gini``, the share of providers ``reached`` at all, the share
    that ``newcomers`` have, and that which is ``misplaced`` by merit (P,).
    """
    share, due = (each / (each.sum() or 1) for each in (values, merit))
    return {
        "gini": gini(values),
        "reached": float((values > 0).mean()),
        "newcomers": float(share[new].sum()),
        "misplaced": float(np.abs(share - due).sum() / 2),
    }
