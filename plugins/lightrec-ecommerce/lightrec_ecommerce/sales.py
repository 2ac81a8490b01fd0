"""Conversions and money: what sessions bring, and what lists find of what was bought."""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import (
    Evaluator,
    Findings,
    Metrics,
    Section,
    Table,
    interval,
    keys_of,
    spread,
)
from lightrec.evaluation.held_out import MET, HeldOutLog, by_history, item_models
from lightrec.intervals import bootstrap_interval
from lightrec.keys import PADDING
from lightrec.policies.baselines import PopularityPolicy
from lightrec.ranking.scorers import Scorer
from lightrec.run import Run
from lightrec_ecommerce.domain import PRICE
from lightrec_ecommerce.rewards import prices

SHOWN: Final = 10
"""Items in a list."""
TITLES: Final = {"blend": "blend", MET: MET, "popularity": "popularity"}
COLUMNS: Final = {
    f"purchases@{SHOWN}": "purchases found",
    f"revenue@{SHOWN}": "revenue found",
    f"price@{SHOWN}": "mean price shown",
}


class Sales(Evaluator):
    """Gives the log's conversion rate and revenue per session, and what lists find of both.

    A purchase is an event of the goal; without a goal, one of the kind ``purchase``, or any event
    of a log that does not know this kind. Prices are the items' attribute ``price``; where there is
    none, revenue is left out.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    """

    def __init__(self, max_events: int | None = 20_000) -> None:
        self.max_events = max_events

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``ecommerce/session/…`` and ``ecommerce/<contender>/…``."""
        store, models = run.data, item_models(run)
        price = known_prices(store)
        metrics = of_sessions(store, price, seed)
        scorers: dict[str, Scorer] = {
            "blend": by_history(run.blend),
            "popularity": by_history(PopularityPolicy.from_run(run)),
        }
        scorers |= {MET: by_history(models[MET])} if MET in models else {}
        log = HeldOutLog(self.max_events)
        held_out = torch.from_numpy(log.events(store, seed).events)
        bought = torch.from_numpy(purchases(Sequences.all_events(store).feedback, store))
        own = torch.ones(len(held_out), dtype=torch.bool) if not len(bought) else bought[held_out]
        for name, scorer in scorers.items():
            result, key = log.rank(store, scorer, seed), f"ecommerce/{name}/"
            hit, users = (result.ranks <= SHOWN).double()[own], result.users[own]
            metrics |= _mean(f"{key}purchases@{SHOWN}", hit, users, seed)
            if price is None or result.lists is None:
                continue
            cost = price[result.targets[own]].double()
            metrics |= _mean(f"{key}revenue@{SHOWN}", hit * cost / cost.mean(), users, seed)
            shown = result.lists[own]
            there = shown != PADDING
            mean = (price[shown] * there).sum(1) / there.sum(1).clamp(min=1)
            metrics |= _mean(f"{key}price@{SHOWN}", mean.double(), users, seed)
        return Findings(metrics, [section(metrics)], [verdict(metrics)])


def known_prices(store: EventStore) -> Tensor | None:
    """Give the price of each item, (N + 2,) float32, the mean where it is unknown; or None."""
    if PRICE not in store.catalog.columns:
        return None
    try:
        price = prices(store.catalog[PRICE])
    except NotApplicable:
        return None
    mean = float(price.nanmean())
    return torch.nn.functional.pad(price.nan_to_num(mean), (1, 1))


def purchases(feedback: np.ndarray | None, store: EventStore) -> np.ndarray:
    """Mark the events that are purchases, (E,) bool; empty where all events are alike."""
    kinds = store.feedback_kinds
    bought = store.goal_kinds or tuple(n for n, kind in enumerate(kinds, 1) if kind == "purchase")
    if feedback is None or not bought:
        return np.zeros(0, bool)
    return np.isin(feedback, bought)


def of_sessions(store: EventStore, price: Tensor | None, seed: int) -> dict[str, float]:
    """Give conversions and revenue per session of the whole log, with intervals over users.

    What was returned is taken off the revenue.
    """
    chosen = np.asarray(store.items) <= store.num_items
    marks = purchases(store.feedback, store)
    sold = (marks if len(marks) else np.ones(len(store), bool)) & chosen
    begins = store.session_offsets[:-1]
    users = torch.from_numpy(store.users_of(begins))
    found: dict[str, float] = {"ecommerce/sessions": len(begins)}
    buys = torch.from_numpy(np.add.reduceat(sold.astype(np.int64), begins) > 0).double()
    found |= _mean("ecommerce/session/conversion", buys, users, seed)
    if price is not None:
        worth = store.meta["settings"]["weights"] or {}
        lost = [n for n, kind in enumerate(store.feedback_kinds, 1) if worth.get(kind, 1.0) < 0]
        back = chosen & np.isin(store.feedback, lost) if lost else np.zeros(len(store), bool)
        paid = price.numpy()[np.asarray(store.items)] * (sold.astype(float) - back)
        revenue = torch.from_numpy(np.add.reduceat(paid, begins))
        found |= _mean("ecommerce/session/revenue", revenue, users, seed)
    return found


def section(metrics: Metrics) -> Section:
    """Set what sessions bring, and what lists find."""
    text = (
        f"The log has {int(metrics['ecommerce/sessions']):,} sessions; the first table is about "
        "all of them, with what was returned taken off the revenue. In the second, lists of ten "
        "for the held-out purchases: the share of purchases found, and of their money."
    )
    both = {"conversion": "with a purchase", "revenue": "revenue a session"}
    shown = {name: title for name, title in both.items() if f"ecommerce/session/{name}" in metrics}
    ends = [spread(interval(metrics, f"ecommerce/session/{name}"), ".3f") for name in shown]
    tables = [
        Table(["sessions", *shown.values()], [["all", *ends]]),
        Table.of(metrics, "ecommerce/{}/{}", TITLES, COLUMNS, own="blend"),
    ]
    note = "" if "revenue" in shown else "The items have no usable `price`: no revenue is given."
    return Section("Conversions and revenue", text, tables, note=note)


def verdict(metrics: Metrics) -> str:
    """Say what the blend finds of purchases and of their revenue."""
    parts = {"purchases": "purchases", "revenue": "their revenue"}
    ends = {title: interval(metrics, f"ecommerce/blend/{n}@{SHOWN}") for n, title in parts.items()}
    said = [f"{spread(found, '.0%')} of {title}" for title, found in ends.items() if found]
    return f"The blend's first ten find {' and '.join(said) or 'no purchases to judge by'}."


def _mean(key: str, values: Tensor, users: Tensor, seed: int) -> dict[str, float]:
    """Give a mean with its interval over users; nothing where there are not two users."""
    if len(users.unique()) < 2:
        return {}
    return keys_of(key, bootstrap_interval(values, users, seed=seed))
