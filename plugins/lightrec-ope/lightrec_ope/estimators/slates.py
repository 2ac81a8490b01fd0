"""Estimators for slates of K places, by how much of a slate what happens at a place depends on.

Kiyohara et al. 2022, "Doubly robust off-policy evaluation for ranking policies under the cascade
behavior model", and the papers named there.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lightrec.errors import DataError
from lightrec_ope.estimators.estimate import (
    Estimator,
    Parts,
    averaged,
    doubly_robust,
    improper,
    needed,
)


@dataclass(frozen=True)
class SlateLog:
    """Slates that were shown, what each place brought, and how likely both policies were to do so.

    The probabilities are those of what was shown: of the whole ``slate`` (n,), of the places up to
    each one (``prefix``, (n, K)), and of each place by itself (``place``, (n, K)).

    :param reward: (n, K).
    :param slate: of the logging policy.
    :param target_slate: of the policy that is judged.
    :param prefix: of the logging policy.
    :param target_prefix: of the one judged.
    :param place: of the logging policy.
    :param target_place: of the one judged.
    :param shown: (n, K) int64, what was shown, from 0, among A items.
    :param target: (n, K, A) what the policy that is judged does at each place, after the places
        before it as they were shown.
    :param expected: (n, K, A) a model's expected reward of the places from there on.
    :param users: (n,) whose slates depend on each other.
    :raises DataError: where a propensity is not above 0 and at most 1.
    """

    reward: Tensor
    slate: Tensor | None = None
    target_slate: Tensor | None = None
    prefix: Tensor | None = None
    target_prefix: Tensor | None = None
    place: Tensor | None = None
    target_place: Tensor | None = None
    shown: Tensor | None = None
    target: Tensor | None = None
    expected: Tensor | None = None
    users: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("slate", "prefix", "place"):
            if wrong := improper(getattr(self, name), f" of the {name}"):
                raise DataError(wrong)

    def ratio(self, name: str) -> Tensor:
        """The weights (n,) or (n, K) of ``slate``, ``prefix`` or ``place``, float64."""
        shown, target = needed(self, name, f"target_{name}")
        return target.double() / shown.double()


class SlateIPS(Estimator[SlateLog]):
    """Weights of the whole slate: right for whatever users do (standard IPS).

    :param normalized: whether weights are divided by their mean at each place.
    """

    by: ClassVar[str] = "slate"

    def __init__(self, normalized: bool = False) -> None:
        self.normalized = normalized

    def parts(self, log: SlateLog) -> Parts:
        """The weighted sum over a slate's places."""
        reward, weights = log.reward.double(), log.ratio(self.by)
        weights = weights.reshape(len(reward), -1).expand_as(reward)
        values = averaged(weights, reward, self.normalized).sum(1)
        return Parts(values, weights[:, -1], reward.abs().sum(1))


class IndependentIPS(SlateIPS):
    """Weights of each place: right where no place depends on another (Li et al. 2018)."""

    by = "place"
    rests_on = "it takes each place of a slate for itself"


class CascadeIPS(SlateIPS):
    """Weights of the places up to each one: right where users read from the top.

    Reward-interaction IPS (McInerney et al. 2020).
    """

    by = "prefix"
    rests_on = "it takes users to read from the top"


class CascadeDR(Estimator[SlateLog]):
    """Cascade IPS of what a model of the places from each one on misses."""

    rests_on = "it takes users to read from the top"

    def parts(self, log: SlateLog) -> Parts:
        """Doubly robust terms, summed over the places."""
        weights, reward = log.ratio("prefix"), log.reward.double()
        shown, target, expected = needed(log, "shown", "target", "expected")
        values = doubly_robust(weights, reward, shown, target, expected)
        return Parts(values, weights[:, -1], reward.abs().sum(1))
