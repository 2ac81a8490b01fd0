"""The report on the user models: leaving, values and returns, and how their sessions look."""

from collections.abc import Mapping

from lightrec.evaluation.sections import Section, Table
from lightrec.evaluation.statistics import LENGTHS, TOP
from lightrec.report import plots

PARTS = {
    "leaving": "leaving after a step",
    "value": "value of what was chosen",
    "return": "time until the next session",
}
COMPARED = {
    "length": "session length",
    "popularity": "popularity of items",
    "transitions": "transitions between categories",
}


def user_parts(metrics: Mapping[str, float]) -> list[Table]:
    """Show how leaving, values and returns were fitted; no table where none of them was."""
    rows = [
        [f"{title}, user model {m.upper()}", f"{found:.3f}", f"{metrics[f'{key}/constant']:.3f}"]
        for name, title in PARTS.items()
        for m in ("a", "b")
        if (found := metrics.get(f"{(key := f'choice/{m}/{name}')}/log_likelihood")) is not None
    ]
    return [Table(["", "log-likelihood", "same for all users"], rows)] if rows else []


def returns_left_out(metrics: Mapping[str, float]) -> str:
    """Say why the days until users come back are missing; nothing where they are not."""
    found = metrics.get("choice/b/return/log_likelihood")
    if found is None or any(key.endswith("/days_away") for key in metrics):
        return ""
    start = "The days until users of model B come back are left out: "
    if found <= metrics["choice/b/return/constant"]:
        return f"{start}held-out sessions are predicted no better than by one law for all users."
    return f"{start}most users are not expected back within the time that the log spans."


def statistics(metrics: Mapping[str, float]) -> Section | None:
    """Show how logged sessions look when played again; None where nothing was compared."""
    if "statistics/popularity/total_variation" not in metrics:
        return None
    rows = [
        [
            title,
            _number(metrics, f"{name}/total_variation"),
            _number(metrics, f"{name}/total_variation/real_halves"),
        ]
        for name, title in COMPARED.items()
        if f"statistics/{name}/total_variation" in metrics
    ]
    sides = {
        "length": "mean steps of a session",
        "repeats": "choices of an item chosen before in the session",
        "transitions/same": "steps that stay within a category",
        **{f"popularity/{{}}/top-{p}": f"choices of the top {p} % of items" for p in (1, 10, 50)},
    }
    table = []
    for name, title in sides.items():
        keys = [name.format(s) if "{}" in name else f"{name}/{s}" for s in ("real", "simulated")]
        if f"statistics/{keys[0]}" in metrics:
            table.append([title, *(_number(metrics, key) for key in keys)])
    return Section(
        "Simulated and real sessions",
        "Logged sessions are played again in user model B from the same histories, with the "
        "offers of the log where it has any, else with all items. Total variation is 0 for equal "
        "distributions and 1 for disjoint ones; its value between two halves of the real sessions "
        "shows what chance alone does.",
        [
            Table(["total variation", "simulated − real", "half − half of real"], rows),
            Table(["", "real", "simulated"], table),
        ],
        plots.svg(_drawn(metrics)),
        "Where the log does not say how users leave, lengths are not compared, and each session "
        "is played for as many choices as it had.",
    )


def _drawn(metrics: Mapping[str, float]) -> plots.Figure:
    bins = [*LENGTHS, "33+"]
    panels = {"share of choices by share of items (%)": [f"top-{p}" for p in TOP]}
    names = ["popularity"]
    if "statistics/length/total_variation" in metrics:
        panels["share of sessions by steps"] = bins
        names.append("length")
    drawn, axes = plots.figure(4.2 * len(panels), 2.4, len(panels))
    for panel, (label, ticks), name in zip(axes, panels.items(), names, strict=True):
        sides = {
            side: [metrics[f"statistics/{name}/{side}/{tick}"] for tick in ticks]
            for side in ("real", "simulated")
        }
        plots.side_by_side(panel, [tick.removeprefix("top-") for tick in ticks], sides, label)
    return drawn


def _number(metrics: Mapping[str, float], key: str) -> str:
    value = metrics.get(f"statistics/{key}")
    return "–" if value is None else f"{value:.3f}"
