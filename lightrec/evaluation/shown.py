"""What a run would earn on a log of items that somebody else showed, each with its propensity."""

from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import one_hot

from lightrec.data.domain import showable
from lightrec.data.log import InteractionLog
from lightrec.errors import DataError
from lightrec.evaluation.estimators import DM, DR, IPS, SNIPS, BanditLog, Estimate
from lightrec.evaluation.estimators.estimate import IntervalName
from lightrec.keys import PADDING, Column, Key
from lightrec.policies.base import session_start
from lightrec.run import Run

BATCH: Final = 1024
"""Rounds that are looked at together."""
HISTORY: Final = 200
"""Items of a history that are read."""
PRIOR: Final = 10.0
"""So many rounds of the mean reward stand beside an item's own."""
ESTIMATORS: Final = {"IPS": IPS(), "SNIPS": SNIPS(), "DM": DM(), "DR": DR()}


def estimates(
    run: Run, log: InteractionLog, by: str, interval: IntervalName = "bootstrap", seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the mean reward of a run's first item by a log of items that were shown.

    :param by: ``policy``, by its law; ``blend``, which always shows its best item.
    :returns: estimates by name; ``log`` is the log's own mean.
    :raises DataError: where the log lacks rewards or propensities, or shows unknown items.
    """
    given = with_item_means(rounds(run, log, by), seed)
    own = replace(given, target=one_hot(given.action, given.target.shape[1]).double())
    own = replace(own, propensity=torch.ones_like(given.reward))
    found = {"log": IPS()(own, interval, seed)}
    return found | {name: each(given, interval, seed) for name, each in ESTIMATORS.items()}


@torch.no_grad()
def rounds(run: Run, log: InteractionLog, by: str) -> BanditLog:
    """Ask a run what it would have shown in each round of a log.

    A user's history is what the run knows of the user: the log must be newer than that. Users whom
    it does not know have none. Items seen before are not shown again unless the domain lets them
    come again, and neither is what it forbids.

    :returns: actions are the items that the log shows, in the order of their numbers; the last
        action stands for all others.
    """
    store, frame = run.data, log.events
    places = {str(item): n for n, item in enumerate(store.catalog[Column.ITEM].to_list(), 1)}
    items = [places.get(str(item), PADDING) for item in frame[Column.ITEM].to_list()]
    problems = [
        f"Column '{name}' is empty in {missing} of {len(log)} events; give every round its {what}."
        for name, what in ((Column.VALUE, "reward"), (Column.PROPENSITY, "propensity"))
        if (missing := frame[name].null_count())
    ]
    if unknown := sorted({str(i) for i, n in zip(frame[Column.ITEM], items, strict=True) if not n}):
        problems.append(
            f"{len(unknown)} of the items that were shown are not in the run's log, such as "
            f"{', '.join(unknown[:3])}: leave their rounds out, or make the run with them."
        )
    if problems:
        raise DataError(problems)
    known = {str(user): row for row, user in enumerate(store.user_ids.to_list())}
    rows = np.array([known.get(str(user), -1) for user in frame[Column.USER].to_list()])
    shown, action = torch.tensor(items).unique(return_inverse=True)
    allowed, laws = showable(store), []
    for part in np.array_split(np.arange(len(rows)), -(-len(rows) // BATCH)):
        some = rows[part]
        ends = np.where(some < 0, 0, store.offsets[some + 1])
        history = torch.from_numpy(store.histories(np.maximum(some, 0), ends, HISTORY)).long()
        history[some < 0] = PADDING
        history *= history <= store.num_items
        mask = torch.ones(len(part), store.num_items + 1, dtype=torch.bool)
        if not store.repeats:
            mask.scatter_(1, history, False)
        forbidden = allowed(torch.from_numpy(np.maximum(some, 0)))
        mask &= _offered(frame[part.tolist()], places, mask) & (
            torch.ones_like(mask) if forbidden is None else forbidden
        )
        mask[:, PADDING] = False
        state = TensorDict(session_start(history), [len(part)])
        state[Key.MASK] = mask
        laws.append(_law(run, by, state, shown))
    _, users = np.unique(np.where(rows < 0, -1 - np.arange(len(rows)), rows), return_inverse=True)
    return BanditLog(
        action,
        frame[Column.VALUE].cast(pl.Float64).to_torch(),
        torch.cat(laws),
        frame[Column.PROPENSITY].to_torch(),
        users=torch.from_numpy(users),
    )


def _offered(rows: pl.DataFrame, places: dict[str, int], like: Tensor) -> Tensor:
    """Tell what could be shown in each round, (B, N + 1); everything where that is not said."""
    found = torch.ones_like(like)
    for row, offered in enumerate(rows[Column.CANDIDATES].to_list()):
        if offered is not None:
            found[row] = False
            found[row, [places.get(str(item), PADDING) for item in offered]] = True
    return found


def _law(run: Run, by: str, state: TensorDict, shown: Tensor) -> Tensor:
    """Give the probability of each item that the log shows, and of the others: (B, M + 1)."""
    if by == "policy":
        law = run.policy.distribution(state)
        each = [law.log_prob(item.expand(len(state), 1)) for item in shown]
        found = torch.stack(each, 1).double().exp()
    else:
        scores = run.blend.scores(state[Key.HISTORY]).masked_fill(~state[Key.MASK], -torch.inf)
        found = (scores.argmax(1)[:, None] == shown).double()
    return torch.cat([found, (1 - found.sum(1, keepdim=True)).clamp(min=0)], 1)


def with_item_means(log: BanditLog, seed: int = 0, folds: int = 3) -> BanditLog:
    """Expect of each item its mean reward in the rounds of other folds, shrunk to that of all."""
    count, n = log.target.shape[1], len(log.action)
    fold = torch.randperm(n, generator=torch.Generator().manual_seed(seed)) % folds
    expected = torch.zeros(n, count, dtype=torch.float64)
    for number in range(folds):
        other = fold != number
        mean = log.reward[other].double().mean()
        sums = torch.bincount(log.action[other], log.reward[other].double(), count)
        times = torch.bincount(log.action[other], minlength=count)
        expected[fold == number] = (sums + PRIOR * mean) / (times + PRIOR)
    return replace(log, expected=expected)
