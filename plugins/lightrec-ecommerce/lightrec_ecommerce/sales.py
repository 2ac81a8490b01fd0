"""Conversions and money: what sessions bring, and what lists find of what was bought."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import (
    PADDING,
    Evaluator,
    EventStore,
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
from lightrec_ecommerce.domain import PRICE
from lightrec_ecommerce.rewards import prices

TITLES: Final = {name: name for name in ("blend", "RepeatConsumption", "popularity")}
COLUMNS: Final = {
    "purchases@10": "purchases found",
    "revenue@10": "revenue found",
    "price@10": "mean price shown",
}


class Sales(Evaluator):
    """The log's conversion rate and revenue per session, and what lists find of both.

    A purchase is an event of the goal; without a goal, one of the kind ``purchase``, or any event
    of a log that does not know this kind. Prices are the items' attribute ``price``; where there is
    none, revenue is left out.
    """

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``ecommerce/session/…`` and ``ecommerce/<recommender>/…``."""
        store, log, price = run.data, HeldOutLog(), None
        with suppress(NotApplicable):  # 0 of padding and of nothing
            price = pad(prices(RewardContext(store=store).item_attribute(PRICE)), (1, 1))
        metrics = of_sessions(store, price, seed)
        events = log.events(store, seed)
        log_events = events.sequences
        bought = purchases(log_events.feedback, len(log_events.items), store)
        sold = torch.from_numpy(bought[events.events])
        for name, scorer in scorers_of(run).items():
            result = log.rank(store, scorer, seed)
            hit, users = (result.ranks <= 10).double()[sold], result.users[sold]
            values = {"purchases": hit}
            if price is not None:
                cost, shown = price[result.targets[sold]].double(), result.lists[sold]
                values["revenue"] = hit * cost / cost.mean()
                there = (shown != PADDING).sum(1).clamp(min=1)
                values["price"] = (price[shown].sum(1) / there).double()
            for key, each in values.items():
                metrics |= mean_of_users(f"ecommerce/{name}/{key}@10", each, users, seed)
        return Findings(metrics, [section(metrics)], [verdict(metrics)])


def purchases(feedback: NDArray[Any] | None, number: int, store: EventStore) -> NDArray[np.bool_]:
    """Mark those of a log's events that are purchases, (E,); all where the log does not tell.

    :param feedback: (E,) the events' kinds; None in a log of one kind.
    :param number: of the events, E.
    """
    kinds = store.feedback_kinds
    bought = store.goal_kinds or tuple(n for n, kind in enumerate(kinds, 1) if kind == "purchase")
    if feedback is None or not bought:
        return np.ones(number, bool)
    return np.isin(feedback, bought)


def of_sessions(store: EventStore, price: Tensor | None, seed: int) -> dict[str, float]:
    """Conversions and revenue per session of the whole log, with intervals over users.

    What was returned is taken off the revenue.

    :param price: of each item, (N + 2,) float32; None: there is no revenue.
    """
    chosen = np.asarray(store.items) <= store.num_items
    sold = purchases(store.feedback, len(store.items), store) & chosen
    begins = store.session_offsets[:-1]
    users = torch.from_numpy(store.users_of(begins))
    metrics: dict[str, float] = {"ecommerce/sessions": len(begins)}
    values = {"conversion": np.add.reduceat(sold.astype(int), begins) > 0}
    if price is not None:
        worth = store.meta["settings"]["weights"] or {}
        lost = [n for n, kind in enumerate(store.feedback_kinds, 1) if worth.get(kind, 1.0) < 0]
        back = chosen & np.isin(np.asarray(store.feedback), lost) if lost else 0.0
        paid = price.numpy()[np.asarray(store.items)] * (sold.astype(float) - back)
        values["revenue"] = np.add.reduceat(paid, begins)
    for name, each in values.items():
        sessions = torch.from_numpy(each.astype(float))
        metrics |= mean_of_users(f"ecommerce/session/{name}", sessions, users, seed)
    return metrics


def section(metrics: Mapping[str, float]) -> Section:
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


def verdict(metrics: Mapping[str, float]) -> str:
    """Say what the blend finds of purchases and of their revenue."""
    parts = {"purchases": "purchases", "revenue": "their revenue"}
    ends = {title: interval(metrics, f"ecommerce/blend/{n}@10") for n, title in parts.items()}
    shares = [f"{spread(share, '.0%')} of {title}" for title, share in ends.items() if share]
    return f"The blend's first ten find {' and '.join(shares) or 'no purchases to judge by'}."
