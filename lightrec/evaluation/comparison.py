"""What the sessions of several contenders say: the one comparison of policies, user by user.

Played sessions come from :mod:`lightrec.simulators.rollout`; nothing is played here. All intervals
are 95 % ones over users.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lightrec.evaluation.base import keys_of
from lightrec.evaluation.evidence import MIXTURES
from lightrec.evaluation.session_tables import RATIOS
from lightrec.intervals import Interval, function_interval, mean_interval, ratio_interval
from lightrec.simulators.rollout import Refits, Sessions, together


def per_user(*sessions: Sessions) -> Tensor:
    """Each user's mean return and length over the seeds, side by side: (U, 2 · S) float64."""
    return torch.stack([x.double().mean(0) for s in sessions for x in (s.reward, s.length)], 1)


def earned(sessions: Sessions) -> dict[str, Interval]:
    """Sum sessions up.

    :returns: ``returns``, the sum of a session's rewards; ``length``, its steps; and
        ``reward_per_step``, the mean return over the mean length.
    """
    users = per_user(sessions)
    rate = function_interval(lambda mean: mean[0] / mean[1], users)
    returns, length = map(mean_interval, users.T)
    return {"returns": returns, "length": length, "reward_per_step": rate}


def advantage(own: Sessions, other: Sessions) -> dict[str, Interval]:
    """Say by how much a contender earned more than another on the same users, and from what.

    With length L and reward per step r = return / L of the two, the return's difference is exactly
    ΔL · mean(r) + mean(L) · Δr.

    :returns: ``total``; ``length``, ΔL · mean(r): what longer sessions bring; and ``rate``,
        mean(L) · Δr: what better steps bring.
    """
    users = per_user(own, other)

    def length(mean: Tensor) -> Tensor:
        return (mean[1] - mean[3]) * (mean[0] / mean[1] + mean[2] / mean[3]) / 2

    def rate(mean: Tensor) -> Tensor:
        return (mean[1] + mean[3]) / 2 * (mean[0] / mean[1] - mean[2] / mean[3])

    parts = {"length": function_interval(length, users), "rate": function_interval(rate, users)}
    return {"total": mean_interval(users[:, 0] - users[:, 2]), **parts}


def normalised(own: Sessions, floor: Sessions, top: Sessions) -> Interval | None:
    """Put a contender's return on the scale where floor and top have 0 and 1.

    :returns: None where the top is not above the floor with its interval.
    """
    users = per_user(own, floor, top)[:, ::2]
    if mean_interval(users[:, 2] - users[:, 1]).low <= 0:
        return None
    return function_interval(lambda mean: (mean[0] - mean[1]) / (mean[2] - mean[1]), users)


def compare(sessions: Mapping[str, Refits]) -> dict[str, float]:
    """Write the contenders' metrics and their paired advantages as flat keys.

    :param sessions: by contender, one entry for each refit of the simulator.
    :returns: ``policy/accepted`` and so on, ``policy-minus-random/accepted`` with ``/low`` and
        ``/high``: the mean over users of the difference in the user's own mean over seeds, with an
        interval that counts users and, where there are several, refits. Of mixtures that played
        with a blend, ``mixture-minus-blend/accepted``.
    """
    found: dict[str, float] = {}
    for name, refits in sessions.items():
        found |= {f"{name}/{key}": value for key, value in together(refits).metrics().items()}
    for name, gained in _advantages(sessions).items():
        for key, values in gained.items():
            found |= keys_of(f"policy-minus-{name}/{key}", mean_interval(values))
    for name in MIXTURES:
        if {name, "blend"} <= sessions.keys():
            pair = {each: sessions[each] for each in (name, "blend")}
            ahead = _advantages(pair, name)["blend"]["accepted"]
            found |= keys_of(f"{name}-minus-blend/accepted", mean_interval(ahead))
    return found


def transfer_ratios(here: Mapping[str, Refits], there: Mapping[str, Refits]) -> dict[str, float]:
    """Divide the policy's advantages in one simulator by those in another, where it learned.

    :param here: by contender, where the policy learned, which has no refits.
    :param there: the same on the same users, in each refit of a simulator where it did not.
    :returns: ``greedy/accepted`` and so on with ``/low`` and ``/high``, the advantage there over
        that here; without those whose advantage here is not clearly above 0.
    """
    found: dict[str, float] = {}
    away = _advantages(there)
    for name, home in _advantages(here).items():
        for key in RATIOS:
            ratio = ratio_interval(away[name][key], home[key][0], paired=True)
            found |= {} if ratio is None else keys_of(f"{name}/{key}", ratio)
    return found


def _advantages(sessions: Mapping[str, Refits], of: str = "policy") -> dict[str, dict[str, Tensor]]:
    """One's advantage in each refit, by user ``(J, U)``, other contender and metric."""
    means: dict[str, dict[str, Tensor]] = {}
    for name, refits in sessions.items():
        each = [played.user_means() for played in refits]
        means[name] = {key: torch.stack([one[key] for one in each]) for key in each[0]}
    mine = means.pop(of)
    return {name: {key: mine[key] - theirs[key] for key in mine} for name, theirs in means.items()}
