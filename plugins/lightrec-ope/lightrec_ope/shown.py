"""The earnings of a run on a log of items that somebody else showed, each with its propensity."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.api import PADDING, Column, DataError, InteractionLog, Key, Run
from lightrec.data.domain import eligible
from lightrec.data.people import People
from lightrec.policies.base import session_start, without_nothing
from lightrec.ranking.continued import items_before
from lightrec_ope import estimators as ope
from lightrec_ope.estimators.estimate import IntervalName, unusable
from lightrec_ope.estimators.models import by_user

BATCH: Final = 256
"""Rounds that are looked at together."""
PRIOR: Final = 10.0
"""Number of rounds of the mean reward that stand beside an item's rounds."""
BOUNDS: Final = (1, 3, 10, 30, 100, None)
"""Bounds of weights, among which SLOPE chooses."""
Judge = Callable[[ope.BanditLog, IntervalName, int], ope.Estimate]
"""An estimator, or what chooses one; gets the seed of its interval."""


def _in_agreement(biased: Judge) -> Judge:
    """Offer an estimator only where DR and SNIPS, which are less biased, do not contradict it.

    No interval holds a bias: this one is made as wide as that of DR.
    """

    def judge(log: ope.BanditLog, interval: IntervalName, seed: int) -> ope.Estimate:
        estimate = biased(log, interval, seed)
        less = {"DR": ope.DR()(log, interval, seed), "SNIPS": ope.SNIPS()(log, interval, seed)}
        off = [name for name, each in less.items() if not each.low <= estimate.value <= each.high]
        if off:
            why = f"{' and '.join(off)}, of less bias, find{'s' * (len(off) < 2)} something else"
            return unusable(estimate, why)
        low, high = min(estimate.low, less["DR"].low), max(estimate.high, less["DR"].high)
        return replace(estimate, low=low, high=high)

    return judge


ESTIMATORS: Final[dict[str, Judge]] = {
    "IPS": ope.IPS(),
    "SNIPS": ope.SNIPS(),
    "DM": _in_agreement(ope.DM()),
    "DR": ope.DR(),
    "DR, bounded by SLOPE": _in_agreement(
        lambda log, *how: ope.slope([ope.DR(at) for at in BOUNDS], log)[0](log, *how)
    ),
    "SNDR": ope.SNDR(),
}
"""Estimators of a log of shown items, by name."""


def estimates(
    run: Run, log: InteractionLog, by: str, interval: IntervalName = "bootstrap", seed: int = 0
) -> dict[str, ope.Estimate]:
    """Estimate the mean reward of a run's first item by a log of items that were shown.

    :param by: ``policy``, by its law; ``blend``, which shows its best item.
    :returns: estimates by name; ``log`` is the log's own mean.
    :raises DataError: where the log lacks rewards or propensities, or shows unknown items.
    """
    bandit = with_item_means(rounds(run, log, by), seed)
    # Under a target that does what was done all weights are 1.
    done = one_hot(bandit.action, bandit.target.shape[1]).double()
    as_done = replace(bandit, target=done, propensity=torch.ones_like(bandit.reward))
    of_log = {"log": ope.IPS()(as_done, interval, seed)}
    return of_log | {name: each(bandit, interval, seed) for name, each in ESTIMATORS.items()}


@torch.no_grad()
def rounds(run: Run, log: InteractionLog, by: str) -> ope.BanditLog:
    """Ask a run what it would have shown in each round of a log: what it recommends.

    A person's history is what the run knows of them before the round, so that the log should be
    newer than the run's; it is read and served as `lightrec recommend` does. Of a slate whose
    impression and positions are known, what stands at earlier places cannot come again.

    :returns: actions are the items that the log shows, in the order of their numbers; the last
        action stands for all others.
    """
    frame, places = log.events, _places(run)
    shown = frame[Column.ITEM].to_list()
    items = [places.get(str(item), PADDING) for item in shown]
    problems = [
        f"Column '{name}' is empty in {missing} of {len(log)} events; give every round its {what}."
        for name, what in {"item": "item", "value": "reward", "propensity": "propensity"}.items()
        if (missing := frame[name].null_count())
    ]
    if unknown := sorted({str(i) for i, n in zip(shown, items, strict=True) if i and not n}):
        problems.append(
            f"{len(unknown)} of the items that were shown are not in the run's log, such as "
            f"{', '.join(unknown[:3])}: leave their rounds out, or make the run with them."
        )
    if problems:
        raise DataError(problems)
    shown, action = torch.tensor(items).unique(return_inverse=True)
    laws = _each_round(run, log, by, shown)
    row = pl.format("round {}", pl.int_range(pl.len()))
    users = frame.select(pl.coalesce(log.users(), row).rank("dense")).to_series()
    return ope.BanditLog(
        action,
        frame[Column.VALUE].cast(pl.Float64).to_torch(),
        laws,
        frame[Column.PROPENSITY].to_torch(),
        users=users.cast(pl.Int64).to_torch(),
    )


def _places(run: Run) -> dict[str, int]:
    """The items' numbers by their names."""
    return {str(item): n for n, item in enumerate(run.data.catalog[Column.ITEM].to_list(), 1)}


def _each_round(run: Run, log: InteractionLog, by: str, shown: Tensor) -> Tensor:
    """The laws, (n, M + 1), of the states in which each round of a log found the run."""
    store, places, frame = run.data, _places(run), log.events
    whole = pl.lit(np.iinfo(np.int64).max)
    times = frame.select(pl.col(Column.TIME).dt.epoch("ms").fill_null(whole)).to_series().to_numpy()
    users = [*map(str, log.users())]
    candidates = frame[Column.CANDIDATES].to_list()
    place = Column.IMPRESSION, Column.USER, Column.POSITION
    slates = frame.select(pl.int_range(pl.len()).alias("round"), Column.ITEM, *place)
    slates = slates.drop_nulls([Column.IMPRESSION, Column.POSITION])
    pairs = slates.join(slates, on=place[:2], nulls_equal=True, suffix=" before")
    pairs = pairs.filter(pl.col(Column.POSITION) > pl.col(f"{Column.POSITION} before"))
    # The items at earlier places of a round's slate, by the round's number.
    before = dict(pairs.group_by("round").agg(f"{Column.ITEM} before").iter_rows())
    order, answers = [], []
    for rows, table, details in People(store).before(users, times, BATCH):
        offered = torch.ones(len(rows), store.num_items + 1, dtype=torch.bool)
        for row, number in enumerate(rows.tolist()):
            if (some := candidates[number]) is not None:
                offered[row] = False
                offered[row, [places.get(str(item), PADDING) for item in some]] = True
            gone = [places.get(str(item), PADDING) for item in before.get(number, ())]
            offered[row, gone] = False
        mask = offered.scatter(1, details[Key.SEEN], False)
        mask[:, PADDING] = False
        now = np.minimum(times[rows], store.times.max())
        if (allowed := eligible(store, table, now, details)) is not None:
            mask &= torch.from_numpy(allowed)
        order.append(rows)
        answers.append(_law(run, by, details, mask, shown))
    return torch.cat(answers)[np.concatenate(order).argsort()]


def not_newer(run: Run, log: InteractionLog) -> int:
    """Count the rounds before the last event of a run, which may have learned what they brought."""
    last = int(run.data.times.max()) if run.data.has_times else -1
    return int((log.events[Column.TIME].dt.epoch("ms") <= last).sum())


def _scores(run: Run, details: dict[str, Tensor]) -> Tensor:
    """Score all items as `lightrec recommend` does by the blend, (B, N + 1).

    Without a history, by what people with the same attributes choose or by popularity.
    """
    history, user = details[Key.HISTORY], details.get(Key.USER)
    scores = run.served.scores(history, user, details=details)
    described = user is not None or Key.PROFILE in details
    alike = (run.demographic if described else None) or run.popularity
    return scores.where(history.any(1, keepdim=True), alike.scores(history, user, details=details))


def _law(run: Run, by: str, details: dict[str, Tensor], mask: Tensor, shown: Tensor) -> Tensor:
    """The probability of each item that the log shows, and of the others: (B, M + 1)."""
    history, count = details[Key.HISTORY], len(mask)
    if by == "policy":
        learned = run.holding("policy")  # an update makes none: it knows the items of its version
        items, nothing = items_before(run.data, learned.data), learned.data.num_items + 1
        then = without_nothing(pad(items, (0, 1), value=nothing)[history], nothing)
        user = details.get(Key.USER) if learned is run else None
        before = TensorDict(session_start(then, user), [count])
        there = torch.zeros(count, nothing, dtype=torch.bool)
        before[Key.MASK] = there.index_copy_(1, items[items > 0], mask[:, items > 0])
        law, none = learned.policy.distribution(before), torch.full((count,), -torch.inf)
        each = [law.log_prob(n.expand(count, 1)) if n else none for n in items[shown]]
        likely = torch.stack(each, 1).double().exp()
    else:
        scores = _scores(run, details).masked_fill(~mask, -torch.inf)
        likely = (scores.argmax(1)[:, None] == shown).double()
    return torch.cat([likely, (1 - likely.sum(1, keepdim=True)).clamp(min=0)], 1)


def with_item_means(log: ope.BanditLog, seed: int = 0) -> ope.BanditLog:
    """Expect of each item its mean reward in other users' rounds, shrunk to that of all items.

    :raises DataError: where there is one user alone.
    """
    count = log.target.shape[1]
    expected = torch.zeros(len(log.action), count, dtype=torch.float64)
    for others, rows in by_user(log.users, len(expected), seed):
        mean = log.reward[others].double().mean()
        sums = torch.bincount(log.action[others], log.reward[others].double(), count)
        times = torch.bincount(log.action[others], minlength=count)
        expected[rows] = (sums + PRIOR * mean) / (times + PRIOR)
    return replace(log, expected=expected)
