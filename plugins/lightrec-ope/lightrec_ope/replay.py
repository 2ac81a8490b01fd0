"""Judging a policy by a logged bandit: what would have been clicked, had it chosen.

Replay by rejection needs no model of users, only a log whose propensities are known.
"""

from dataclasses import dataclass

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.data.log import InteractionLog
from lightrec.errors import DataError
from lightrec.keys import Column, Key
from lightrec.policies.base import session_start
from lightrec.simulators.rollout import ActingPolicy
from lightrec_ope.estimators.bandit import BATCH


@dataclass(frozen=True)
class Replayed:
    """The mean reward of a policy, as a log tells it.

    :param mean: reward of the accepted events: the click rate, where rewards are clicks.
    :param standard_error: of the mean; infinite for a single event, and 0 where all rewards are
        equal, which among few events with rare clicks says nothing.
    :param accepted: events that the mean is taken over.
    :param events: in the log.
    """

    mean: float
    standard_error: float
    accepted: int
    events: int


@torch.no_grad()
def replay(
    policy: ActingPolicy,
    events: TensorDictBase,
    *,
    floor: float | None = None,
    deterministic: bool = True,
    seed: int = 0,
) -> Replayed:
    """Judge a policy by the events in which it would have shown what was shown.

    Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news
    article recommendation algorithms": where slates were shown with one and the same probability,
    the events that a policy agrees with are a fair sample of what would have happened under it, of
    about that share of the log. Another log is thinned first: an event shown with propensity p is
    kept with probability floor / p. The policy must not learn from the events that it is judged by,
    and what the log never shows cannot be accepted.

    :param policy: whose slates are compared, place by place.
    :param events: (E,) the states that the policy reads, with ``action`` (E, K) int64, ``reward``
        (E, 1) and the log-propensity ``action_log_prob`` (E,): a rollout's, or of
        :func:`bandit_events`.
    :param floor: thin the log by this propensity, at most the smallest in the log; None demands
        that all propensities are the same.
    :param deterministic: show the items of highest score, or draw slates.
    :param seed: of all chance, the policy's draws included.
    :raises DataError: where propensities are none, differ without a ``floor``, or lie below it, and
        where no event is accepted.
    """
    propensity = events[Key.LOG_PROBABILITY].double().exp().reshape(-1).cpu()
    shown = events[Key.ACTION].cpu()
    agreed = torch.zeros(len(propensity), dtype=torch.bool)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kept = _thin(propensity, floor)
        for rows in kept.nonzero().squeeze(1).split(BATCH):
            # The policy must not find the answer in what it is given.
            state = events[rows].exclude(Key.ACTION, Key.LOG_PROBABILITY, "reward", "next")
            slate = policy.act(state, shown.shape[1], deterministic)[Key.ACTION]
            agreed[rows] = (slate.cpu() == shown[rows]).all(1)
    rewards = events["reward"].reshape(-1).cpu()[agreed].double()
    count = len(rewards)
    if count == 0:
        raise DataError(
            f"None of {len(agreed)} events is accepted: {int(kept.sum())} were left to compare, "
            "and the policy would have shown something else in all of them. A log of slates shown "
            "with propensity p accepts about that share; take a longer one, or shorter slates."
        )
    error = float(rewards.std()) / count**0.5 if count > 1 else float("inf")
    return Replayed(float(rewards.mean()), error, count, len(agreed))


def _thin(propensity: Tensor, floor: float | None) -> Tensor:
    """Say which events (E,) are left when all shall be equally likely."""
    low, high = map(float, propensity.aminmax())
    if not (low > 0 and high <= 1 + 1e-6):
        raise DataError(
            "A propensity lies outside 0 to 1, or is none. Replay needs the probability with which "
            "each slate was shown."
        )
    if floor is None and high - low > 1e-5 * high:
        raise DataError(
            f"Propensities lie between {low:.3g} and {high:.3g}. Events that a policy agrees with "
            "are a fair sample only where all slates were equally likely: give "
            f"floor={low:.3g} to thin the log by its propensities, or take a uniform log."
        )
    if floor is None:
        return torch.ones(len(propensity), dtype=torch.bool)
    if not 0 < floor <= low * (1 + 1e-6):
        raise DataError(
            f"floor is {floor:.3g}, and the smallest propensity {low:.3g}; it must be positive and "
            "no larger than that."
        )
    return torch.rand(len(propensity), dtype=torch.float64) < floor / propensity


def bandit_events(log: InteractionLog) -> tuple[TensorDict, list[str]]:
    """Turn a logged bandit without users into events for :func:`replay`.

    :param log: with ``item`` (what was shown), ``value`` (the reward) and ``propensity``; with
        ``candidates`` where not everything could be shown.
    :returns: E events with empty histories, and the N items' names: name i - 1 is item i. The mask
        takes E · (N + 1) bytes.
    :raises DataError: where an event lacks one of these.
    """
    frame = log.events
    problems = [
        f"Column '{name}' is empty in {missing} of {len(log)} events; replay needs it in all."
        for name in (Column.ITEM, Column.VALUE, Column.PROPENSITY)
        if (missing := frame[name].null_count())
    ]
    if problems:
        raise DataError(problems)
    names = sorted({*frame[Column.ITEM], *frame[Column.CANDIDATES].explode().drop_nulls()})
    index = pl.Enum(names)

    def indices(items: pl.Series) -> Tensor:
        return items.cast(index).to_physical().cast(pl.Int64).to_torch() + 1

    mask = torch.ones(len(log), len(names) + 1, dtype=torch.bool)
    rows = frame.select(Column.CANDIDATES).with_row_index("row").drop_nulls()
    mask[rows["row"].to_torch().long()] = False
    pairs = rows.explode(Column.CANDIDATES).drop_nulls()
    mask[pairs["row"].to_torch().long(), indices(pairs[Column.CANDIDATES])] = True
    mask[:, 0] = False
    start = session_start(torch.zeros(len(log), 1, dtype=torch.int64))
    events = TensorDict(start, batch_size=[len(log)])
    events[Key.MASK] = mask
    events[Key.ACTION] = indices(frame[Column.ITEM]).unsqueeze(1)
    events[Key.LOG_PROBABILITY] = frame[Column.PROPENSITY].to_torch().log()
    events["reward"] = frame[Column.VALUE].to_torch().float().unsqueeze(1)
    return events, names
