"""The report's section on whole sessions: who is accepted how often, and by how much more."""

from collections.abc import Mapping

from lightrec.evaluation.sections import Section, Table, number, signed
from lightrec.report import plots
from lightrec.report.transfer import ratio_lines, ratio_table

Metrics = Mapping[str, float]

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
ALL, NEW = "simulator", "simulator_new"
"""Prefixes of the metrics of all users, and of those new to user model A and to the policy."""


def contenders(metrics: Metrics) -> dict[str, str]:
    """Give the titles of those that played in user model B; none where the recipe plays nothing."""
    return {n: t for n, t in CONTENDERS.items() if f"{ALL}/{n}/accepted" in metrics}


def paired(
    metrics: Metrics, prefix: str = ALL, of: str = "accepted"
) -> dict[str, tuple[float, float, float]]:
    """Collect the policy's paired advantages: mean, low, high."""
    found = {}
    for name, title in CONTENDERS.items():
        key = f"{prefix}/policy-minus-{name}/{of}"
        if key in metrics:
            found[title] = (metrics[key], metrics[f"{key}/low"], metrics[f"{key}/high"])
    return found


def sessions(metrics: Metrics) -> Section | None:
    """Report how sessions go in user model B; None where the recipe plays none."""
    played = contenders(metrics)
    if not played:
        return None
    columns = {
        "accepted": "accepted a session",
        "length": "steps",
        "per_step": "accepted a step",
        "reward_a": "learned reward (A)",
        "reward_b": "learned reward (B)",
        "coverage": "catalog shown",
    }
    rows = [
        [title, *(number(metrics.get(f"{ALL}/{name}/{c}")) for c in columns)]
        for name, title in played.items()
    ]
    drawn, axes = plots.figure(9, 2.4, 2)
    values = {t: metrics[f"{ALL}/{n}/accepted"] for n, t in played.items()}
    plots.bars(axes[0], values, "policy", "accepted items a session")
    drawn_prefix = NEW if paired(metrics, NEW) else ALL
    plots.intervals(
        axes[1],
        {f"policy − {t}": v for t, v in paired(metrics, drawn_prefix).items()},
        "difference, new users" if drawn_prefix == NEW else "difference, all users",
    )
    return Section(
        "Whole sessions, in user model B",
        "User model B is of another class than A, was fitted on the other half of the users, and "
        f"has item vectors of its own; it was fitted {_times(metrics)}, and every contender plays "
        "in each fit. All contenders meet the same users with the same chance.",
        [
            Table(["", *columns.values()], rows, "policy"),
            _differences(metrics),
            *ratio_table(metrics, played),
        ],
        plots.svg(drawn),
        "The mixture adds user model A's utilities to the blend's scores, with the weight "
        f"{metrics.get('simulator/mixture/weight', 0):g}, which was accepted most in A; the even "
        "mixture adds them to the transformer's scores as they are. The constant list is the best "
        "that a search in B found. New users are those from whom neither A nor the policy learned. "
        "Length and acceptance per step are shown separately, because a longer session alone makes "
        "a larger number. Differences are paired by user; their 95 % intervals count users and "
        "fits of B. The transfer ratio is the advantage in B over that in A, where the policy "
        "learned; there is none where the advantage in A is not clearly above 0.",
    )


def _differences(metrics: Metrics) -> Table:
    """Set the policy's advantages over everybody, with all users and with the new ones."""
    everyone, new = paired(metrics), paired(metrics, NEW)
    rewards = paired(metrics, of="reward_b")
    head = ["", "accepted a session, all users", "new users", "learned reward (B), all users"]
    rows = [
        [
            f"policy − {title}",
            signed(*everyone[title]),
            signed(*new[title]) if title in new else "–",
            signed(*rewards[title]) if title in rewards else "–",
        ]
        for title in everyone
    ]
    return Table(head, rows)


def session_lines(metrics: Metrics) -> list[str]:
    """Set how sessions go in user model B; nothing where the recipe plays none."""
    played = contenders(metrics)
    if not played:
        return []
    everyone, new = paired(metrics), paired(metrics, NEW)
    lines = [
        f"{'user model B':<23}{'accepted':>9}{'steps':>8}{'per step':>10}   "
        f"{'policy’s advantage (95 %)':<28}" + (f"with {_count(metrics)} new users" if new else "")
    ]
    for name, title in played.items():
        accepted, length, step = (
            metrics[f"{ALL}/{name}/{m}"] for m in ("accepted", "length", "per_step")
        )
        line = f"{title:<23}{accepted:>9.3f}{length:>8.2f}{step:>10.3f}"
        if title in everyone:
            line += f"   {signed(*everyone[title]):<28}"
            line += signed(*new[title]) if title in new else ""
        lines.append(line.rstrip())
    note = f"B was fitted {_times(metrics)}; intervals count users and fits."
    return [*lines, note, *ratio_lines(metrics, played)]


def _count(metrics: Metrics) -> str:
    return f"{int(metrics.get(f'{NEW}/users', 0)):,}"


def _times(metrics: Metrics) -> str:
    refits = int(metrics.get("simulator/refits", 1))
    return "once" if refits == 1 else f"{refits} times"
