"""Estimators for single choices: what a policy would earn a round, from a bandit's log.

Names and formulas follow Saito et al. 2021, "Open Bandit Dataset and Pipeline".
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.api import Column, DataError, InteractionLog, Key
from lightrec.policies.base import Policy, session_start
from lightrec_ope.estimators.estimate import (
    Estimator,
    Parts,
    averaged,
    improper,
    needed,
    never_shown,
)

Taming = Literal["clip", "switch", "optimistic"]
BATCH: Final = 4096
"""Events that a policy looks at together."""


@dataclass(frozen=True)
class BanditLog:
    """Rounds in which one of A actions was shown at one of P positions, and a policy's law in each.

    :param action: (n,) int64, from 0.
    :param reward: (n,) numbers of any size.
    :param target: (n, A) or (n, A, P): the probabilities with which the policy that is judged
        takes each action.
    :param propensity: (n,) the probability with which what was shown was shown; None where it is
        not known.
    :param position: (n,) int64, from 0; None for a single one.
    :param behavior: as ``target``, of the policy that made the log; None where it is not known.
    :param expected: as ``target``, a model's expected reward of each action.
    :param users: (n,) int64, whose rounds depend on each other; None where all are independent.
    :raises DataError: where something is not as it must be.
    """

    action: Tensor
    reward: Tensor
    target: Tensor
    propensity: Tensor | None = None
    position: Tensor | None = None
    behavior: Tensor | None = None
    expected: Tensor | None = None
    users: Tensor | None = None

    def __post_init__(self) -> None:
        problems, count = [], self.target.shape[1]
        if not len(self.action):
            raise DataError("The log has no rounds; estimates need at least one.")
        if not 0 <= int(self.action.min()) <= int(self.action.max()) < count:
            problems.append(
                f"Actions lie between {int(self.action.min())} and {int(self.action.max())}, and "
                f"the policy has probabilities of 0 to {count - 1}: number the log's actions as "
                "the policy does."
            )
        problems += improper(self.propensity)
        for name in ("target", "behavior"):
            law = getattr(self, name)
            if law is not None and not bool(((law.sum(1) - 1).abs() < 1e-4).all()):
                off = float((law.sum(1) - 1).abs().max())
                problems.append(
                    f"The probabilities of {name} are off a sum of 1 by up to {off:.2g}: give one "
                    "law over all actions for each round."
                )
        if not bool(self.reward.double().isfinite().all()):
            problems.append("Some rewards are not finite: leave these rounds out.")
        if problems:
            raise DataError(problems)

    def along(self, table: Tensor) -> Tensor:
        """A table's row of each round at its position: (n, A) float64."""
        if table.ndim == 2:
            return table.double()
        rows = torch.arange(len(table))
        place = torch.zeros_like(rows) if self.position is None else self.position
        return table[rows, :, place].double()

    def of_shown(self, table: Tensor) -> Tensor:
        """A table's entry of what was shown in each round: (n,) float64."""
        return self.along(table).gather(1, self.action[:, None]).squeeze(1)

    @property
    def is_binary(self) -> bool:
        """Whether all rewards are 0 or 1."""
        return bool(((self.reward == 0) | (self.reward == 1)).all())

    @property
    def weights(self) -> Tensor:
        """How much more likely the policy is to do what was done, (n,) float64.

        :raises DataError: where there are no propensities.
        """
        return self.of_shown(self.target) / needed(self, "propensity")[0].double()

    @property
    def uncovered(self) -> float:
        """The share of what the policy does that the log cannot show."""
        behavior = None if self.behavior is None else self.along(self.behavior)
        return never_shown(self.along(self.target), behavior, self.action)


def bandit_events(log: InteractionLog) -> tuple[TensorDict, list[str]]:
    """Turn a logged bandit without users into events for :func:`judged`.

    :param log: with ``item`` (what was shown), ``value`` (the reward) and ``propensity``; with
        ``candidates`` where not everything could be shown.
    :returns: E events with empty histories, and the N items' names: name i - 1 is item i. The mask
        takes E · (N + 1) bytes.
    :raises DataError: where an event lacks one of these.
    """
    frame = log.events
    problems = [
        f"Column '{name}' is empty in {missing} of {len(log)} events; every event needs it."
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


@torch.no_grad()
def judged(policy: Policy, events: TensorDictBase, deterministic: bool = False) -> BanditLog:
    """Put a log of single items and a policy's law in each round together.

    :param events: (E,) as :func:`bandit_events` gives them, with one item in each ``action``; a
        propensity of 0 stands for none.
    :param deterministic: whether the policy shows its best item, or draws by its law. Of a log in
        which all items were equally likely, ``SNIPS`` is then the mean reward of the rounds in
        which the policy would have shown the same item (Li et al. 2011).
    :returns: actions 0 to N - 1 are the items 1 to N.
    :raises DataError: where slates were shown.
    """
    shown = events[Key.ACTION]
    if shown.shape[1] != 1:
        raise DataError(
            f"The log has slates of {shown.shape[1]} items, and this judges single ones: give "
            "it a row for each item, as `lightrec estimate` takes them."
        )
    items = torch.arange(1, policy.num_items + 1)
    laws = []
    for some in events.split(BATCH):
        law = policy.distribution(some.exclude(Key.ACTION, "reward", "next"))
        each = [law.log_prob(item.expand(len(some), 1)) for item in items]
        likely = torch.stack(each, 1).double().exp()
        laws.append((law.mode == items).double() if deterministic else likely)
    propensity = events[Key.LOG_PROBABILITY].double().exp().reshape(-1)
    return BanditLog(
        shown.squeeze(1) - 1,
        events["reward"].double().reshape(-1),
        torch.cat(laws),
        propensity if bool((propensity > 0).any()) else None,
    )


def tamed(weights: Tensor, how: Taming, at: float | None) -> Tensor:
    """Bound importance weights, which trades variance for bias.

    :param how: ``clip`` cuts them at a number; ``switch`` drops those above it (Wang et al. 2017);
        ``optimistic`` gives at · w / (w² + at) (Su et al. 2020).
    :param at: None leaves weights as they are.
    """
    if at is None:
        return weights
    if how == "clip":
        return weights.clamp(max=at)
    if how == "switch":
        return weights * (weights <= at)
    return at * weights / (weights.square() + at)


class IPS(Estimator[BanditLog]):
    """Inverse propensity scoring: the mean of w · r (Horvitz and Thompson 1952).

    :param at: bounds the weights, see ``tamed``; None: not at all.
    :param how: in which way.
    """

    normalized: ClassVar[bool] = False
    modelled: ClassVar[bool] = False

    def __init__(self, at: float | None = None, how: Taming = "clip") -> None:
        self.at, self.how = at, how

    def parts(self, log: BanditLog) -> Parts:
        """Terms w · (r - q) + E[q] for each round, q being 0 without a model."""
        whole, reward = log.weights, log.reward.double()
        weights = tamed(whole, self.how, self.at)
        residual, base = reward, torch.zeros_like(reward)
        if self.modelled:
            (expected,) = needed(log, "expected")
            residual = reward - log.of_shown(expected)
            base = (log.along(log.target) * log.along(expected)).sum(1)
        if self.normalized and weights.mean() <= 0:
            raise DataError(
                "All weights are 0: the policy never does what the log shows, and a log of another "
                "policy is needed."
            )
        values = base + averaged(weights, residual, self.normalized)
        return Parts(values, whole, reward, log.uncovered)


class SNIPS(IPS):
    """Self-normalised: Σ w · r / Σ w (Swaminathan and Joachims 2015)."""

    normalized = True


class DR(IPS):
    """Doubly robust: E[q] plus IPS of what the model misses (Dudík et al. 2011).

    ``DR(5, "switch")`` is Switch-DR, ``DR(10, "optimistic")`` DR with optimistic shrinkage.
    """

    modelled = True


class SNDR(DR):
    """Doubly robust with self-normalised weights (Thomas and Brunskill 2016)."""

    normalized = True


class DM(Estimator[BanditLog]):
    """Direct method: the model's expected reward of what the policy does (Beygelzimer 2009)."""

    rests_on = "it rests on the reward model alone"

    def parts(self, log: BanditLog) -> Parts:
        """Expected rewards E[q] for each round."""
        (expected,) = needed(log, "expected")
        values = (log.along(log.target) * log.along(expected)).sum(1)
        return Parts(values, uncovered=log.uncovered)
