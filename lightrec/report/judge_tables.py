"""What judging found as tables for a terminal or a Markdown file, and as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from math import isfinite

from lightrec.evaluation.judge import FLOOR, Judgement
from lightrec.evaluation.judging import SHOWINGS, Advantage, Entry, Showing
from lightrec.evaluation.markdown import NOTHING, aligned, give
from lightrec.evaluation.sections import Table

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def markdown(found: Judgement) -> str:
    """Set everything as Markdown; intervals are 95 %, by user."""
    names = "\n".join(f"- {letter}: {title}" for letter, title in found.simulators.items())
    parts = ["# Policies judged", names]
    parts.append(
        "`mode`: the items of highest score are shown; `sample`: slates are drawn. ± is half a "
        "95 % interval over users."
    )
    for mode in dict.fromkeys(entry.mode for entry in found.entries):
        rows = [entry for entry in found.entries if entry.mode == mode]
        parts.append(f"## Mode {mode}")
        for letter, title in found.simulators.items():
            here = [entry for entry in rows if entry.simulator == letter]
            parts.append(f"### {letter}: {title}")
            if (letter, mode) in found.same:
                parts.append("Its own rules are those of this mode: all is as in the mode free.")
                continue
            parts.append(aligned(_earned(here)))
            parts += [f"Advantage over {found.reference}:", aligned(_advantages(here))]
        parts += [f"### Scale in mode {mode}", _scale(found, mode), aligned(_matrix(found, rows))]
    if found.transfers:
        parts += ["## Transfer ratios", TRANSFER.format(found.reference)]
        parts.append(aligned(_transfers(found)))
    return "\n\n".join(parts) + "\n"


TRANSFER = (
    "Advantage over {} elsewhere, divided by that in the simulator of training. A dash: at home "
    "it is not above 0 with its interval."
)

Rows = Mapping[str, Mapping[Showing, Entry]]


def _by_policy(entries: Sequence[Entry]) -> Rows:
    found: dict[str, dict[Showing, Entry]] = {}
    for entry in entries:
        found.setdefault(entry.policy, {})[entry.slates] = entry
    return found


def _earned(entries: Sequence[Entry]) -> Table:
    columns = {"returns": "return", "length": "length", "reward_per_step": "reward/step"}
    head = ["policy", *(f"{title}, {s}" for title in columns.values() for s in SHOWINGS)]
    rows = []
    for name, shown in _by_policy(entries).items():
        cells = [
            give(getattr(shown[s].earned, column)) if s in shown else NOTHING
            for column in columns
            for s in SHOWINGS
        ]
        rows.append([name, *cells])
    return Table(head, rows)


def _advantages(entries: Sequence[Entry]) -> Table:
    titles = {"total": "in all", "length": "from length", "rate": "from reward/step"}
    head = ["policy", *(f"{title}, {s}" for s in SHOWINGS for title in titles.values())]
    rows = []
    for name, shown in _by_policy(entries).items():
        found = {s: entry.advantage for s, entry in shown.items() if entry.advantage is not None}
        if found:
            cells = [_part(found.get(s), part) for s in SHOWINGS for part in titles]
            rows.append([name, *cells])
    return Table(head, rows)


def _part(advantage: Advantage | None, part: str) -> str:
    return NOTHING if advantage is None else give(getattr(advantage, part))


def _scale(found: Judgement, mode: str) -> str:
    tops = [
        f"{letter}: {top or 'none is known'}"
        for (letter, m), top in found.tops.items()
        if m == mode
    ]
    return (
        f"Return by simulator, where {FLOOR} has 0 and the best that is known has 1 "
        f"({', '.join(tops)}), both shown as `mode`. A star marks the simulator of training."
    )


def _matrix(found: Judgement, entries: Sequence[Entry]) -> Table:
    head = ["policy", *(f"{letter}, {s}" for letter in found.simulators for s in SHOWINGS)]
    names = dict.fromkeys(entry.policy for entry in entries)
    cells = {(e.policy, e.simulator, e.slates): e for e in entries}
    rows = []
    for name in names:
        row = [name]
        for letter in found.simulators:
            for slates in SHOWINGS:
                entry = cells.get((name, letter, slates))
                star = "* " if entry is not None and entry.trained_in == letter else ""
                row.append(star + give(None if entry is None else entry.normalised))
        rows.append(row)
    return Table(head, rows)


def _transfers(found: Judgement) -> Table:
    head = [
        "policy",
        "mode",
        "slates",
        "from",
        "to",
        "advantage at home",
        "elsewhere",
        "transfer ratio",
    ]
    rows = [
        [k.policy, k.mode, k.slates, k.home, k.away, *map(give, (k.at_home, k.elsewhere, k.ratio))]
        for k in found.transfers
    ]
    return Table(head, rows)


def as_json(found: Judgement) -> dict[str, Json]:
    """Give everything as plain values; an interval is a list of mean, low and high."""
    plain = {
        "simulators": found.simulators,
        "users": found.users,
        "rounds": found.rounds,
        "reference": found.reference,
        "floor": FLOOR,
        "tops": [
            {"simulator": letter, "mode": mode, "policy": top}
            for (letter, mode), top in found.tops.items()
        ],
        "seed": found.seed,
        "results": list(found.entries),
        "transfers": list(found.transfers),
        "same_as_free": [{"simulator": letter, "mode": mode} for letter, mode in found.same],
        "lightrec": version("lightrec"),
    }
    return {name: to_plain(value) for name, value in plain.items()}


def to_plain(value: object) -> Json:
    """Make dataclasses, named tuples of intervals and numbers what JSON can hold.

    Named tuples that hold others become objects, those of numbers lists; what is infinite or no
    number becomes null.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict") and isinstance(value[0], tuple):
        return to_plain(value._asdict())
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")
