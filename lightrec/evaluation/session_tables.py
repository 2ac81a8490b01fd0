"""The metrics of sessions in sections, tables and sentences."""

from collections.abc import Mapping

from lightrec.evaluation.base import (
    Answers,
    Bars,
    Findings,
    Intervals,
    Metrics,
    Section,
    Table,
    interval,
    number,
    spread,
)
from lightrec.evaluation.evidence import MIXTURES, RECOMMENDERS, favoured

ALL, NEW, HOME = "simulator", "simulator_new", "simulator_a"
"""Prefixes of metrics: of all users in B, of those new to A and to the policy, of all in A."""
COLUMNS = {
    "accepted": "accepted a session",
    "length": "steps",
    "per_step": "click rate (accepted a step)",
    "accepting": "sessions with an accept",
    "reward_a": "learned reward (A)",
    "reward_b": "learned reward (B)",
    "coverage": "catalog shown",
}
RATIOS = ("accepted", "per_step", "length")
"""The metrics whose advantages are followed from one simulator to another."""
RATIO_TITLES = dict(zip(RATIOS, ("accepted", "per step", "steps"), strict=True))


SESSIONS = {
    "length": "steps",
    "accepted": "choices",
    "accepting": "sessions with a choice",
    "conversion": "conversion",
    "repeats": "repeats",
}
SIDES = {"sessions": "log", f"{HOME}/blend": "user model A", f"{ALL}/blend": "user model B"}
"""Prefixes of what is said of the log's sessions and of the user models'."""


def findings(metrics: Metrics) -> Findings:
    """Say what the metrics of sessions mean."""
    played = section(metrics)
    everyone, new = paired(metrics), paired(metrics, NEW)
    ahead = {f"policy − {title}": ends for title, ends in (new or everyone).items()}
    label = f"difference in accepted items a session, {'new' if new else 'all'} users"
    return Findings(
        metrics,
        [played],
        summary=summary(metrics),
        headline=[Intervals(ahead, label)] if ahead else played.charts,
        answers=answers(metrics),
    )


def played(metrics: Metrics) -> dict[str, str]:
    """The titles of those that played in user model B; none where the recipe plays nothing."""
    return {n: t for n, t in RECOMMENDERS.items() if f"{ALL}/{n}/accepted" in metrics}


def paired(
    metrics: Metrics, prefix: str = ALL, of: str = "accepted"
) -> dict[str, tuple[float, float, float]]:
    """Collect the policy's paired advantages: mean, low, high."""
    return {
        title: ends
        for name, title in RECOMMENDERS.items()
        if (ends := interval(metrics, f"{prefix}/policy-minus-{name}/{of}"))
    }


def answers(metrics: Metrics) -> Answers | None:
    """Compare the policy with its closest rival, and with popularity; None without a policy."""
    prefix = NEW if paired(metrics, NEW) else ALL
    if not (ahead := paired(metrics, prefix)):
        return None
    closest = min(ahead, key=lambda title: ahead[title][1])
    reached = {t: metrics.get(f"{prefix}/{n}/accepted") for n, t in RECOMMENDERS.items()}
    shown = [
        f"{title} {number(reached[title], 2)}, a difference of {spread(ahead[title])}"
        for title in dict.fromkeys((closest, RECOMMENDERS["popularity"]))
        if title in ahead
    ]
    whose = "new" if prefix == NEW else "all"
    return Answers(
        favoured(metrics).reason,
        f"With {whose} users the policy is accepted {number(reached['policy'], 2)} times a "
        f"session; {'; '.join(shown)}.",
        "Sessions are simulated: user model B stands in for people. It is of another class than "
        f"the model in which the policy learned, knows other users, and was fitted "
        f"{_times(metrics)}; intervals count users and fits.",
    )


def section(metrics: Metrics) -> Section:
    """Report how sessions go in user model B."""
    titles, everyone, new = played(metrics), paired(metrics), paired(metrics, NEW)
    charts = (
        Bars(
            {title: metrics[f"{ALL}/{name}/accepted"] for name, title in titles.items()},
            "accepted items a session, user model B",
            "policy",
        ),
    )
    groups = everyone, new, paired(metrics, of="reward_b")
    head = ["", "accepted a session, all users", "new users", "learned reward (B), all users"]
    gaps = [[f"policy − {title}", *(spread(of.get(title)) for of in groups)] for title in everyone]
    for name in MIXTURES:
        both = (interval(metrics, f"{part}/{name}-minus-blend/accepted") for part in (ALL, NEW))
        title = f"{RECOMMENDERS[name]} − {RECOMMENDERS['blend']}"
        gaps += [[title, *map(spread, both), spread(None)]] if name in titles else []
    reached = Table.of(metrics, ALL + "/{}/{}", titles, COLUMNS, own="policy")
    whose = RECOMMENDERS | {"beginning": "policy before training"}
    worth = {"": "the policy's own reward a session, in user model A"}
    earned = Table.of(metrics, "reward/{}", whose, worth, own="policy")
    return Section(
        "Whole sessions, in user model B",
        "User model B is of another class than A, was fitted on the other half of the users, and "
        f"has item vectors of its own; it was fitted {_times(metrics)}, and every policy plays "
        "in each fit. All policies meet the same users with the same chance."
        f"{unfit_rewards(metrics)}",
        [reached, Table(head, gaps), *_ratios(metrics, titles), *([earned] if earned.rows else [])],
        charts,
        "The mixture adds user model A's utilities to the blend's scores, with the weight "
        f"{metrics.get('simulator/mixture/weight', 0):g}, which was accepted most in A; the even "
        "mixture adds them to the transformer's scores as they are. The constant list is the best "
        "that a search in B found. New users are those from whom neither A nor the policy learned. "
        "Length and acceptance per step are shown separately, because a longer session alone makes "
        "a larger number. Differences are paired by user; their 95 % intervals count users and "
        "fits of B. The transfer ratio is the advantage in B over that in A, where the policy "
        "learned; there is none where the advantage in A is not clearly above 0.",
    )


def against_log(metrics: Metrics) -> Section | None:
    """Set the sessions of both user models beside the log's; None where they were not played."""
    if "sessions/length" not in metrics or f"{ALL}/blend/length" not in metrics:
        return None
    return Section(
        "The log's sessions and the user models'",
        f"{unlike(metrics) or 'None of these differs by more than half.'} What rests on a row in "
        "which the user models are unlike the log deserves the least belief.",
        [Table.of(metrics, "{1}/{0}", SESSIONS, SIDES)],
        note="A session is a visit: events of a user without a gap above half an hour, or those "
        "that the log itself puts together; in a user model, the slates that the blend shows until "
        "the user leaves or is cut. A step is an event, or a slate, whether anything is taken of "
        "it or not. Conversion is the share of sessions with an event of the goal: user models "
        "know no kinds of events, so that they have none, and a session with a choice is no "
        "conversion. Repeats are the share of choices of an item chosen before in the session.",
    )


def unlike(metrics: Metrics) -> str:
    """Say in what a user model's sessions are more than half as much again, or less; or nothing."""
    differing = []
    for name, title in SESSIONS.items():
        real, *models = [metrics[f"{s}/{name}"] for s in SIDES if f"{s}/{name}" in metrics] or [0.0]
        if any(not 2 * real <= 3 * model <= 4.5 * real for model in models):
            shown = " and ".join(map(number, models))
            differing.append(f"{title} ({shown} against {number(real)} in the log)")
    begin = "Sessions of the user models are unlike the log's"
    return f"{begin}: {', '.join(differing)}." if differing and "sessions/length" in metrics else ""


def unfit_rewards(metrics: Metrics) -> str:
    """Say which learned rewards are unfit to judge sessions by; empty where none is."""
    misleading = []
    for key in ("reward_a", "reward_b"):
        earned = {name: metrics.get(f"{ALL}/{name}/{key}") for name in played(metrics)}
        sums = {name: value for name, value in earned.items() if value is not None}
        if sums and (best := max(sums, key=sums.__getitem__)) in ("random", "popularity"):
            misleading.append(f"the {COLUMNS[key]}, by which {best} is best")
    return f" Unfit to judge sessions by is {', and '.join(misleading)}." if misleading else ""


def _ratios(metrics: Metrics, titles: Mapping[str, str]) -> list[Table]:
    """Set each advantage in A, in B, and the transfer ratio; no table where A was not played."""
    rows = []
    for name, title in titles.items():
        for key, column in RATIO_TITLES.items():
            end = f"policy-minus-{name}/{key}"
            if f"{HOME}/{end}" in metrics:
                sides = (spread(interval(metrics, f"{place}/{end}")) for place in (HOME, ALL))
                rows.append([f"policy − {title}, {column}", *sides, _ratio(metrics, name, key)])
    head = ["", "in user model A", "in user model B", "transfer ratio"]
    return [Table(head, rows)] if rows else []


def _ratio(metrics: Metrics, name: str, key: str) -> str:
    return spread(interval(metrics, f"transfer_ratio/{name}/{key}"), ".2f")


def summary(metrics: Metrics) -> str:
    """Set how sessions go in user model B for a terminal; nothing where the recipe plays none."""
    if not (titles := played(metrics)):
        return ""
    groups = [paired(metrics)]
    head = ["user model B", "accepted", "steps", "per step", "policy’s advantage (95 %)"]
    if new := paired(metrics, NEW):
        groups.append(new)
        head.append(f"with {int(metrics.get(f'{NEW}/users', 0)):,} new users")
    rows = []
    for name, title in titles.items():
        accepted, step, length = (metrics[f"{ALL}/{name}/{key}"] for key in RATIOS)
        shown = [spread(of[title]) if title in of else "" for of in groups]
        rows.append([title, number(accepted), number(length, 2), number(step), *shown])
    note = f"B was fitted {_times(metrics)}; intervals count users and fits."
    lines = [Table(head, rows).text(), note]
    ratios = [
        [f"over {title}", *(_ratio(metrics, name, key) for key in RATIOS[:2])]
        for name, title in titles.items()
        if f"transfer_ratio/{name}/accepted" in metrics
    ]
    if ratios:
        columns = ["transfer ratio: advantage in B over A", "accepted", "per step"]
        lines += ["", Table(columns, ratios).text()]
    elif f"{HOME}/policy/accepted" in metrics:
        lines += ["", "The policy has no advantage in A that is clearly above 0."]
    return "\n".join(lines)


def _times(metrics: Metrics) -> str:
    refits = int(metrics.get("simulator/refits", 1))
    return "once" if refits == 1 else f"{refits} times"
