"""What sessions say of policies: reward and length apart, one scale for several simulators.

Played sessions come from :mod:`lightrec.simulators.rollout`; nothing is played here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lightrec.intervals import (
    Interval,
    function_interval,
    mean_interval,
    ratio_interval,
)
from lightrec.simulators.rollout import Sessions

Showing = Literal["mode", "sample"]
"""How slates were shown: ``mode``, the highest scores; ``sample``, drawn from the policy's law."""
SHOWINGS: tuple[Showing, ...] = get_args(Showing)


class Earned(NamedTuple):
    """What a contender's sessions earned."""

    returns: Interval
    """Sum of a session's rewards."""
    length: Interval
    """Steps of a session."""
    reward_per_step: Interval
    """Mean reward of a session over its mean length."""


class Advantage(NamedTuple):
    """By how much one contender's sessions earned more than another's, and where that comes from.

    With length L and reward per step r = return / L of the two, the return's difference is exactly
    ΔL · mean(r) + mean(L) · Δr.
    """

    total: Interval
    length: Interval
    """ΔL · mean(r): what longer sessions bring."""
    rate: Interval
    """mean(L) · Δr: what better steps bring."""


@dataclass(frozen=True)
class Field:
    """One simulator in one mode, with all that was played there.

    :param simulator: its short name.
    :param mode: of judging.
    :param users: how many; the same ones, under the same chance, for all contenders.
    :param sessions: by contender and showing.
    :param floor: the contender that stands for 0, played as ``mode``.
    :param top: that stands for 1, as ``mode``; None where there is none.
    """

    simulator: str
    mode: str
    users: int
    sessions: Mapping[str, Mapping[Showing, Sessions]]
    floor: str
    top: str | None


@dataclass(frozen=True)
class Entry:
    """One contender in one simulator, one mode of judging and one way of showing."""

    simulator: str
    mode: str
    policy: str
    slates: Showing
    trained_in: str | None
    earned: Earned
    coverage: float
    normalised: Interval | None
    """Reward on the scale where the floor has 0 and the top 1; None where there is no scale."""
    advantage: Advantage | None
    """Over the reference contender shown as ``mode``; None for itself."""


@dataclass(frozen=True)
class Transfer:
    """An advantage in the simulator of training, and what is left of it in another one."""

    policy: str
    mode: str
    slates: Showing
    home: str
    away: str
    at_home: Interval
    elsewhere: Interval
    ratio: Interval | None
    """Elsewhere over home; None where that at home is not above 0 with its interval."""


def per_user(sessions: Sessions) -> Tensor:
    """Each user's mean reward and length over the seeds, (U, 2) float64."""
    return torch.stack([sessions.reward.double().mean(0), sessions.length.double().mean(0)], 1)


def earned(sessions: Sessions) -> Earned:
    """Sum sessions up, with 95 % intervals by user."""
    users = per_user(sessions)
    return Earned(
        mean_interval(users[:, 0]),
        mean_interval(users[:, 1]),
        function_interval(lambda mean: mean[0] / mean[1], users),
    )


def advantage(own: Sessions, other: Sessions) -> Advantage:
    """Compare two contenders on the same users, user by user."""
    users = torch.cat([per_user(own), per_user(other)], 1)

    def length(mean: Tensor) -> Tensor:
        return (mean[1] - mean[3]) * (mean[0] / mean[1] + mean[2] / mean[3]) / 2

    def rate(mean: Tensor) -> Tensor:
        return (mean[1] + mean[3]) / 2 * (mean[0] / mean[1] - mean[2] / mean[3])

    total = mean_interval(users[:, 0] - users[:, 2])
    return Advantage(total, function_interval(length, users), function_interval(rate, users))


def normalised(own: Sessions, floor: Sessions, top: Sessions) -> Interval | None:
    """Put a contender's reward on the scale where floor and top have 0 and 1.

    :returns: None where the top is not above the floor with its interval.
    """
    if advantage(top, floor).total.low <= 0:
        return None
    users = torch.stack([per_user(each)[:, 0] for each in (own, floor, top)], 1)
    return function_interval(lambda mean: (mean[0] - mean[1]) / (mean[2] - mean[1]), users)


def transfer_ratio(
    home: tuple[Sessions, Sessions], away: tuple[Sessions, Sessions], *, same_users: bool = False
) -> Interval | None:
    """Divide an advantage in another simulator by that in the simulator of training.

    :param home: the contender's and the reference's sessions where the contender was trained.
    :param away: the same two's sessions elsewhere.
    :param same_users: whether row for row the users are the same in both.
    :returns: None where the advantage at home is not above 0 with its interval.
    """
    there, here = (per_user(own)[:, 0] - per_user(other)[:, 0] for own, other in (home, away))
    if mean_interval(there).low <= 0:
        return None
    return ratio_interval(here, there, paired=same_users)


def entries(field: Field, reference: str, trained_in: Mapping[str, str]) -> list[Entry]:
    """Judge all contenders of a simulator.

    :param reference: the contender over which advantages are told.
    :param trained_in: short names of simulators, by contender.
    """
    floor, other = (field.sessions[name]["mode"] for name in (field.floor, reference))
    top = None if field.top is None else field.sessions[field.top]["mode"]
    return [
        Entry(
            field.simulator,
            field.mode,
            name,
            slates,
            trained_in.get(name),
            earned(own),
            own.coverage,
            None if top is None else normalised(own, floor, top),
            None if name == reference else advantage(own, other),
        )
        for name, shown in field.sessions.items()
        for slates, own in shown.items()
    ]


def transfers(
    home: Field, away: Field, policy: str, reference: str, *, same_users: bool = False
) -> list[Transfer]:
    """Follow a policy's advantage from one simulator to another, by showing."""
    found = []
    for slates in SHOWINGS:
        pairs = [
            (field.sessions[policy][slates], field.sessions[reference]["mode"])
            for field in (home, away)
        ]
        found.append(
            Transfer(
                policy,
                home.mode,
                slates,
                home.simulator,
                away.simulator,
                advantage(*pairs[0]).total,
                advantage(*pairs[1]).total,
                transfer_ratio(pairs[0], pairs[1], same_users=same_users),
            )
        )
    return found
