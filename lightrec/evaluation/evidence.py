"""The choice of what a run recommends by: the policy, a mixture, or the blend of the next event.

The policy is taken only where its sessions are clearly better than those of everything that could
explain its gain away, and a mixture only where its sessions are clearly better than the blend's.
Nothing heavy is imported here.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lightrec.errors import RunError
from lightrec.evaluation.base import interval
from lightrec.run import Run

MIXTURES = ("mixture", "even-mixture")

RECOMMENDERS = {
    "policy": "policy",
    "blend": "greedy by the blend",
    "user-model-a": "greedy by user model A",
    "mixture": "mixture chosen in A",
    "even-mixture": "even mixture",
    "popularity": "popularity",
    "constant": "best constant list",
    "random": "random",
}
"""Who plays in user model B: titles by the names under which their metrics stand."""
RIVALS = {
    name: f"the {title}" if name in (*MIXTURES, "constant") else title
    for name, title in RECOMMENDERS.items()
    if name != "policy"
}
"""Whom the policy has to beat, as a sentence names them."""
BY, REASON = "recommend/by", "recommend/reason"
"""Keys of ``metrics.json`` whose values are words."""


def named(by: str) -> str:
    """Name what ranks, and the option that asks for it."""
    return f"the {by.replace('-', ' ')} (--by {by})"


class Favoured(NamedTuple):
    """A value of ``--by`` to recommend by, and why, in words."""

    by: str
    reason: str


def favoured(metrics: Mapping[str, float], has_policy: bool = True) -> Favoured:
    """Weigh what a run measured: the sessions of new users in user model B.

    An advantage is clear where its 95 % interval lies above 0.
    """
    if not has_policy:
        return Favoured("blend", "The run has no trained policy.")
    if not (ahead := _ahead(metrics, "policy-minus-{}", RIVALS)):
        return Favoured("blend", "No sessions were played with users who are new to user model A.")
    judge, popular = (
        metrics.get(f"choice/b/ensemble/{name}", metrics.get(f"choice/b/{name}", 0.0))
        for name in ("log_likelihood", "popularity")
    )
    if judge < popular:
        return Favoured(
            "blend",
            "User model B, which judges, predicts held-out choices less well than popularity does "
            f"({judge:.3f} and {popular:.3f} nats), so that its sessions decide nothing.",
        )
    where = "in sessions of new users in user model B"
    closest = min(ahead, key=lambda name: ahead[name][0])
    low, ends = ahead[closest]
    spoiled = unfit(metrics)
    if low > 0 and not spoiled:
        return Favoured(
            "policy",
            f"The policy is accepted clearly more often than everything it was compared with, "
            f"{where}; the closest is {RIVALS[closest]} {ends}.",
        )
    reason = spoiled or f"The policy is not clearly better than {RIVALS[closest]} {where} {ends}."
    if not (mixed := _ahead(metrics, "{}-minus-blend", MIXTURES)):
        return Favoured("blend", reason)
    best = max(mixed, key=lambda name: mixed[name][0])
    low, ends = mixed[best]
    if low > 0:
        clearly = f"The {RECOMMENDERS[best]} is clearly better than the blend there {ends}."
        return Favoured(best, f"{reason} {clearly}")
    neither = "Neither mixture is clearly better than the blend there"
    return Favoured("blend", f"{reason} {neither}; the closest is {RIVALS[best]} {ends}.")


def unfit(metrics: Mapping[str, float]) -> str:
    """Say why the reward from which the policy learned is unfit; empty where it is not.

    It is where random or popularity earns more by it than the policy did before it learned.
    """
    began = metrics.get("reward/beginning", math.inf)
    earned = {name: metrics.get(f"reward/{name}", -math.inf) for name in ("random", "popularity")}
    best = max(earned, key=earned.__getitem__)
    if earned[best] <= began:
        return ""
    return (
        f"The reward from which the policy learned is unfit, so that the policy is not used: by it "
        f"{best} earns {earned[best]:.3f} a session, more than the policy as it began "
        f"({began:.3f})."
    )


def _ahead(
    metrics: Mapping[str, float], form: str, names: Iterable[str]
) -> dict[str, tuple[float, str]]:
    """Differences that were measured with new users: their lower ends, and what to say."""
    ahead = {}
    for name in names:
        if ends := interval(metrics, f"simulator_new/{form.format(name)}/accepted"):
            mean, low, high = ends
            unit = "accepted items a session, 95 % interval"
            ahead[name] = low, f"({mean:+.3f} {unit} {low:+.3f} to {high:+.3f})"
    return ahead


def favoured_by(run: Run | Path) -> Favoured:
    """Read what a run's last stage wrote; before an evaluation nothing favours a policy.

    An update makes no policy and no user model: what an earlier version measured of its own counts.
    """
    run = run if isinstance(run, Run) else Run(run)
    try:
        if (learned := run.holding("policy")) is not run:
            earlier = favoured_by(learned)
            measured = f"{earlier.reason} That was measured in version {learned.version}."
            return Favoured(earlier.by, measured)
        metrics = run.metrics()
    except RunError:
        return Favoured("blend", "The run has not been evaluated, so nothing favours a policy.")
    if BY not in metrics:
        return favoured(metrics)
    return Favoured(metrics[BY], metrics[REASON])
