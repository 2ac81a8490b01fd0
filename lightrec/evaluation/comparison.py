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
from lightrec.intervals import mean_interval, ratio_interval
from lightrec.simulators.rollout import Refits, together


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
