"""What a finished run recommends by: the policy, or the blend that ranks the next event.

The policy is taken only where its sessions are clearly better than those of everything that could
explain its gain away. Nothing heavy is imported here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from lightrec.errors import RunError
from lightrec.run import Run

By = Literal["policy", "blend", "reader"]

CONTENDERS = {
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
    name: f"the {title}" if name in ("mixture", "even-mixture", "constant") else title
    for name, title in CONTENDERS.items()
    if name != "policy"
}
"""Whom the policy has to beat, as a sentence names them."""
BY, REASON = "recommend/by", "recommend/reason"
"""Keys of ``metrics.json`` whose values are words."""


class Favoured(NamedTuple):
    """What to recommend by, and why, in a sentence."""

    by: By
    reason: str


def favoured(metrics: Mapping[str, float], has_policy: bool = True) -> Favoured:
    """Weigh what a run measured: the sessions of new users in user model B.

    An advantage is clear where its 95 % interval lies above 0.
    """
    if not has_policy:
        return Favoured("blend", "The run has no trained policy.")
    keys = {f"simulator_new/policy-minus-{name}/accepted": t for name, t in RIVALS.items()}
    least = min(keys, key=lambda key: metrics.get(f"{key}/low", float("inf")))
    if least not in metrics:
        return Favoured("blend", "No sessions were played with users who are new to user model A.")
    where, title = "in sessions of new users in user model B", keys[least]
    mean, low, high = (metrics[least + end] for end in ("", "/low", "/high"))
    ends = f"95 % interval {low:+.3f} to {high:+.3f}"
    if low > 0:
        return Favoured(
            "policy",
            f"The policy is accepted clearly more often than everything it was compared with, "
            f"{where}; the closest is {title} ({mean:+.3f}, {ends}).",
        )
    return Favoured(
        "blend",
        f"The policy is not clearly better than {title} {where} ({mean:+.3f} accepted items a "
        f"session, {ends}).",
    )


def favoured_by(run: Run | Path) -> Favoured:
    """Read what a run's last stage wrote; before an evaluation nothing favours a policy.

    An update makes no policy: that of an earlier version is weighed by what was measured there.
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
