"""Repeats: items of a user's own history, by how recent and how regular they were."""

from typing import Any, Final, Self, TypeAlias

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import TRAIN
from lightrec.errors import NotApplicable
from lightrec.keys import PADDING, Key
from lightrec.ranking.item_models.base import Evidence, ItemModel
from lightrec.ranking.scorers import Details

Codes: TypeAlias = NDArray[np.signedinteger[Any]]

VISIT: Final = 7
"""The bucket of gaps from which on a new visit begins: half an hour."""
REACH: Final = 200
"""Events that fitting looks back at."""
MOST: Final = 500_000
"""Events, of users taken evenly, that are fitted to."""
LEFT: Final = 0.05
"""Least share of the probability that items outside the history have."""
LEAST: Final = 20
"""Events, at least, that must be about an item of their user's history."""
EVENTS: Final = (1, 2, 4, 8, 16, 32, 64)
VISITS: Final = (1, 2, 3, 4, 6, 9, 13)
TIMES: Final = (2, 3, 5, 9)
DUE: Final = (0.01, 0.3, 0.7, 1.0, 1.5, 2.5)
"""Borders of buckets: events since, visits since, visits with the item, and visits since as a
multiple of the mean number of visits between two with the item."""
SIZES: Final = tuple(len(borders) + 1 for borders in (EVENTS, VISITS, TIMES, DUE))


class RepeatConsumption(ItemModel):
    """The probability that the next event, or the next visit, is about an item of the history.

    A logistic regression on how long ago the item came (in events and in visits), in how many
    visits, whether it is due by its usual interval, and of what kind its last event was. Recency
    tells most, before frequency (Anderson et al. 2014, "The dynamics of repeat consumption").

    :param ridge: of the regression.
    :param visits: give the probability that the item comes anywhere in the next visit, such as a
        basket, and not as the very next event. The histories to score should end with a visit.
    """

    weights: Tensor
    """(K + 1, 8, 8, 5, 7) float32 log-odds by the kind of the last event and the buckets."""
    size: Tensor
    """N + 1."""

    def __init__(self, ridge: float = 1.0, visits: bool = False) -> None:
        super().__init__()
        self.ridge, self.visits = ridge, visits

    def fit(self, evidence: Evidence) -> Self:
        """Count, at every event, which items of the history it was about; then regress."""
        log = evidence.log
        step = max(1, len(log.items) // MOST)
        users = log.users_of(np.arange(len(log.items)))
        aims = np.asarray(log.parts) == TRAIN
        if evidence.worth is not None and log.feedback is not None:
            aims &= evidence.worth[log.feedback] == 1
        aims &= users % step == 0
        kinds = np.zeros(len(users), np.int64) if log.feedback is None else log.feedback
        gaps = log.gaps if log.has_times else np.zeros(len(users), np.int64)
        keys = users * (evidence.num_items + 1) + log.items
        order = np.argsort(keys, kind="stable")
        same = keys[order][1:] == keys[order][:-1]
        following = np.full(len(users), len(users))
        following[order[:-1][same]] = order[1:][same]
        visits: Codes = np.cumsum(gaps >= VISIT)
        times, first = _times(keys[order], visits[order])
        times[order], first[order] = times.copy(), first.copy()
        shape = (int(kinds.max(initial=0)) + 1, *SIZES)
        shown, hits = np.zeros((2, int(np.prod(shape))))
        targets, until = np.flatnonzero(aims), np.arange(1, len(users) + 1)
        if self.visits:
            begins = np.append(True, (users[1:] != users[:-1]) | (gaps[1:] >= VISIT))
            starts, visit = np.flatnonzero(begins), begins.cumsum() - 1
            targets = starts[np.unique(visit[aims])]
            until = np.append(starts[1:], len(users))[visit]
        for back in range(1, REACH + 1):
            targets = targets[targets - back >= log.offsets[users[targets]]]
            if not len(targets):
                break
            earlier = targets - back
            there = following[earlier] >= targets  # else the item came once more in between
            now, earlier = targets[there], earlier[there]
            since: Codes = visits[now - 1] - visits[earlier]
            spread = visits[earlier] - first[earlier]
            buckets = _buckets(np.full(len(now), back - 1), since, times[earlier], spread)
            cells = np.ravel_multi_index((kinds[earlier], *buckets), shape)
            shown += np.bincount(cells, minlength=len(shown))
            hits += np.bincount(cells[following[earlier] < until[now]], minlength=len(hits))
        if hits.sum() < LEAST:
            raise NotApplicable(
                f"It needs {LEAST} events about an item of their user's history, and the prepared "
                f"log has {int(hits.sum())}. With --repeats a run keeps such events."
            )
        weights = _regress(shown, hits, shape, self.ridge).reshape(shape)
        self.register_buffer("weights", torch.from_numpy(weights).float())
        self.register_buffer("size", torch.tensor(evidence.num_items + 1))
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1); what is not in the history shares what is left, evenly."""
        context, size = details or {}, int(self.size)
        items = histories.cpu().numpy()
        gaps, kinds = (
            context[key].cpu().numpy() if key in context else np.zeros_like(items)
            for key in (Key.GAP, Key.FEEDBACK)
        )
        visits = (gaps >= VISIT).cumsum(1)
        order = items.argsort(axis=1, kind="stable")
        item, when, kind = (np.take_along_axis(x, order, 1).ravel() for x in (items, visits, kinds))
        rows = np.repeat(np.arange(len(items)), items.shape[1])
        keys = item + rows * size
        times, first = _times(keys, when)
        last = np.flatnonzero(np.append(keys[1:] != keys[:-1], True) & (item > 0))
        row, column = rows[last], item[last]
        events, since = items.shape[1] - 1 - order.ravel()[last], visits[row, -1] - when[last]
        buckets = _buckets(events, since, times[last], when[last] - first[last])
        odds = self.weights[kind[last].clip(max=len(self.weights) - 1), *buckets]
        probabilities = odds.new_zeros(len(items), size)
        probabilities[row, column] = odds.sigmoid()
        # So that what has just been had is less likely, and not more, than what never was.
        rest = (1 - probabilities.sum(1, keepdim=True)).clamp_min(LEFT) / max(size - 1, 1)
        scores = rest.repeat(1, size)
        scores[row, column] = probabilities[row, column]
        scores[:, PADDING] = 0
        return scores


def _times(keys: Codes, visits: Codes) -> tuple[Codes, ...]:
    """Count visits with the item so far, and give the first of them, of events sorted by key."""
    begins = np.append(True, keys[1:] != keys[:-1])
    new = begins | np.append(True, visits[1:] != visits[:-1])
    group = np.cumsum(begins) - 1
    count = np.cumsum(new)
    start = np.flatnonzero(begins)
    return count - count[start][group] + 1, visits[start][group]


def _buckets(events: Codes, visits: Codes, times: Codes, spread: Codes) -> tuple[Codes, ...]:
    """Sort by borders: events since, visits since, visits with the item, and how due it is."""
    usual = spread / np.maximum(times - 1, 1)
    due = np.where(spread > 0, (visits + 1) / np.maximum(usual, 1e-9), 0)
    pairs = ((EVENTS, events), (VISITS, visits), (TIMES, times), (DUE, due))
    return tuple(np.searchsorted(borders, values, side="right") for borders, values in pairs)


def _regress(
    shown: NDArray[np.float64], hits: NDArray[np.float64], shape: tuple[int, ...], ridge: float
) -> NDArray[np.float64]:
    """Fit log-odds (C,) of all cells: a number for each bucket, and for each
    pair of kind and events, which add up."""
    places = np.unravel_index(np.arange(len(shown)), shape)
    columns = [*places, places[0] * shape[1] + places[1]]
    design = np.concatenate(
        [np.eye(int(column.max()) + 1)[column] for column in columns] + [np.ones((len(shown), 1))],
        axis=1,
    )
    used = shown > 0
    x, n, y = design[used], shown[used], hits[used]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds, penalised = x @ weights, np.append(weights[:-1], 0)
        likely = y @ odds - n @ np.logaddexp(0, odds)
        slope = x.T @ (y - n * scipy.special.expit(odds)) - ridge * penalised
        return ridge / 2 * float(penalised @ penalised) - float(likely), -slope

    start = np.zeros(x.shape[1])
    start[-1] = scipy.special.logit((y.sum() + 1) / (n.sum() + 2))
    weights = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    return design @ weights
