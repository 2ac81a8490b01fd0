"""Judging policies in several simulators and in the three modes, and tables of what came out."""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from lightrec.errors import RecipeError
from lightrec.evaluation.arena import Arena, arena
from lightrec.evaluation.comparison import (
    Advantage,
    Earned,
    advantage,
    earned,
    normalised,
    per_user,
    transfer_ratio,
)
from lightrec.evaluation.sections import Json, Table, give, to_plain
from lightrec.intervals import Interval
from lightrec.progress import progress_bar
from lightrec.simulators.rollout import Contender, Sessions
from lightrec.simulators.wrappers import Mode

Showing = Literal["mode", "sample"]
"""How slates were shown: ``mode``, the highest scores; ``sample``, drawn from the policy's law."""
SHOWINGS: tuple[Showing, ...] = get_args(Showing)
FLOOR, ORACLE = "random", "oracle"
BASELINES = ("greedy", "constant", "popularity")
"""Of which the one of highest return stands for 1 where there is no oracle."""
REFERENCE = "greedy"
MODELS = {"users_a": "user model A", "users_b": "user model B"}


@dataclass(frozen=True)
class Place:
    """A simulator as it was asked for.

    :param what: a world's name, or a run folder.
    :param settings: of the simulator.
    :param model: which user model of a run.
    """

    what: str
    settings: Mapping[str, Any]
    model: str = "users_b"

    def title(self) -> str:
        """Give it a name that sets it apart from others."""
        own = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        model = f", {MODELS[self.model]}" if Path(self.what).is_dir() else ""
        return f"{self.what}{model}" + (f" ({own})" if own else "")


@dataclass(frozen=True, eq=False)
class Field:
    """One simulator in one mode, with all that is played there.

    :param simulator: the letter that stands for it.
    :param mode: of judging.
    :param arena: the simulator, with the same users and chance for all contenders.
    :param contenders: who plays.
    :param sessions: by contender and showing.
    """

    simulator: str
    mode: Mode
    arena: Arena
    contenders: Mapping[str, Contender]
    sessions: dict[str, dict[Showing, Sessions]]

    @property
    def top(self) -> str | None:
        """Who stands for 1: the oracle, else the baseline of highest return; None where none is."""
        if ORACLE in self.arena.policies:
            return ORACLE
        known = [name for name in BASELINES if name in self.sessions]
        returns = {name: float(self.sessions[name]["mode"].reward.mean()) for name in known}
        return max(returns, key=returns.__getitem__, default=None)


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
    """Return on the scale where the floor has 0 and the top 1; None where there is no scale."""
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


@dataclass(frozen=True)
class Judgement:
    """All that was found.

    :param simulators: titles by the letter that stands for a simulator in all tables.
    :param reference: the contender over which advantages are taken.
    :param floor: the contender that stands for 0 on the scale.
    :param tops: by mode and letter, the contender that stands for 1; None where there is none.
    :param users: by letter, how many.
    :param rounds: sessions of each user, by letter.
    :param seed: of all chance.
    :param same: letter and mode, where a simulator's own rules are those of the mode already, so
        that what was played in the mode free stands there again.
    """

    simulators: Mapping[str, str]
    reference: str
    floor: str
    tops: Mapping[str, Mapping[str, str | None]]
    users: Mapping[str, int]
    rounds: Mapping[str, int]
    seed: int
    entries: Sequence[Entry]
    transfers: Sequence[Transfer]
    same: Sequence[tuple[str, str]]

    def plain(self) -> Json:
        """Give everything for a JSON file; an interval is a list of mean, low and high."""
        return to_plain({**vars(self), "lightrec": version("lightrec")})


def judge_all(
    places: Sequence[Place],
    policies: Sequence[str],
    modes: Sequence[Mode],
    sessions: int,
    seed: int,
    *,
    over: str | None = None,
) -> Judgement:
    """Play every policy in every simulator and mode, by highest scores and drawn.

    :param policies: words that all simulators know, or folders of saved policies; with ``@A`` after
        it, a policy was trained in the first simulator, with ``@B`` in the second and so on.
    :param sessions: at least so many of each policy.
    :param seed: of all chance.
    :param over: the contender over which advantages are taken; greedy where all simulators know
        it, else random.
    :raises RecipeError: where a policy is not known to a simulator, or a letter to nobody.
    """
    arenas = {
        letter: arena(place.what, sessions, seed, place.settings, place.model)
        for letter, place in zip(string.ascii_uppercase, places, strict=False)
    }
    trained_in = _training(policies, arenas, places)
    if over is None:
        everywhere = all(REFERENCE in on.policies for on in arenas.values())
        over = REFERENCE if everywhere else FLOOR
    fields = _fields(arenas, [*trained_in], over, modes)
    same = _play(fields, [*trained_in], modes, sessions, seed)
    return Judgement(
        {letter: place.title() for letter, place in zip(arenas, places, strict=True)},
        over,
        FLOOR,
        {mode: {f.simulator: f.top for f in fields if f.mode == mode} for mode in modes},
        {letter: len(on.users) for letter, on in arenas.items()},
        {letter: len(on.seeds(sessions, seed)) for letter, on in arenas.items()},
        seed,
        [entry for field in fields for entry in entries(field, over, trained_in)],
        _all_transfers(fields, trained_in, over),
        same,
    )


def _training(
    policies: Sequence[str], arenas: Mapping[str, Arena], places: Sequence[Place]
) -> dict[str, str | None]:
    """Tell the simulators of training apart from the names of policies."""
    found: dict[str, str | None] = {}
    for word in policies:
        name, at, letter = word.rpartition("@")
        if not at or Path(word).is_dir():
            name, letter = word, ""
        if letter and letter not in arenas:
            raise RecipeError(
                f"{word} names the simulator {letter!r} of its training, and there are "
                f"{', '.join(arenas)}: letters stand for the simulators in their order."
            )
        found[name] = letter or _of_run(name, arenas, places)
    return found


def _of_run(name: str, arenas: Mapping[str, Arena], places: Sequence[Place]) -> str | None:
    """A run's own policy was trained in the run's user model A."""
    for letter, place in zip(arenas, places, strict=True):
        run = Path(place.what)
        own = name == "policy" or Path(name).resolve() == (run / "policy").resolve()
        if place.model == "users_a" and run.is_dir() and own:
            return letter
    return None


def _fields(
    arenas: Mapping[str, Arena], named: Sequence[str], over: str, modes: Sequence[Mode]
) -> list[Field]:
    """Prepare everything before anything is played, so that mistakes are named at once."""
    fields = []
    for mode in sorted(modes, key=lambda mode: mode != "free"):
        for letter, on in arenas.items():
            there = on.in_mode(mode)
            tops = [ORACLE] if ORACLE in there.policies else BASELINES
            others = [FLOOR, *(name for name in tops if name in there.policies)]
            names = dict.fromkeys([*named, over, *others])
            players = {name: there.policy(name) for name in names}
            fields.append(Field(letter, mode, there, players, {name: {} for name in players}))
    return fields


def _play(
    fields: Sequence[Field],
    named: Sequence[str],
    modes: Sequence[Mode],
    sessions: int,
    seed: int,
) -> list[tuple[str, str]]:
    """Play all fields; those who were not named show their best alone.

    :returns: simulators and modes that are, by the simulator's own rules, the mode free.
    """
    free = {field.simulator: field for field in fields if field.mode == "free"}
    same = [
        field
        for field in fields
        if field.mode != "free" and "free" in modes and field.arena is free[field.simulator].arena
    ]

    def plays(field: Field) -> Iterator[tuple[str, Showing]]:
        for name in field.contenders:
            yield from ((name, slates) for slates in SHOWINGS if slates == "mode" or name in named)

    played = [(field, *play) for field in fields if field not in same for play in plays(field)]
    with progress_bar(len(played), "play") as bar:
        for field, name, slates in played:
            bar.set_description(f"{field.simulator} {field.mode}: {name}", refresh=False)
            field.sessions[name][slates] = field.arena.play(
                field.contenders[name], sessions, seed, deterministic=slates == "mode"
            )
            bar.update()
    for field in same:
        field.sessions.update(free[field.simulator].sessions)
    return [(field.simulator, field.mode) for field in same]


def entries(field: Field, reference: str, trained_in: Mapping[str, str | None]) -> list[Entry]:
    """Judge all contenders of a simulator.

    :param reference: the contender over which advantages are taken.
    :param trained_in: short names of simulators, by contender.
    """
    floor, other = (field.sessions[name]["mode"] for name in (FLOOR, reference))
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


def _all_transfers(
    fields: Sequence[Field], trained_in: Mapping[str, str | None], over: str
) -> list[Transfer]:
    return [
        transfer
        for policy, letter in trained_in.items()
        for home in fields
        for away in fields
        if policy != over and home.simulator == letter != away.simulator and home.mode == away.mode
        for transfer in transfers(home, away, policy, over)
    ]


def transfers(home: Field, away: Field, policy: str, reference: str) -> list[Transfer]:
    """Follow a policy's advantage from one simulator to another, by showing."""
    same_users = home.arena.users.tolist() == away.arena.users.tolist()
    found = []
    for slates in SHOWINGS:
        pairs = [
            (field.sessions[policy][slates], field.sessions[reference]["mode"])
            for field in (home, away)
        ]
        at_home, elsewhere = (per_user(*pair) for pair in pairs)
        found.append(
            Transfer(
                policy,
                home.mode,
                slates,
                home.simulator,
                away.simulator,
                advantage(*pairs[0]).total,
                advantage(*pairs[1]).total,
                transfer_ratio(
                    at_home[:, 0] - at_home[:, 2],
                    elsewhere[:, 0] - elsewhere[:, 2],
                    same_users=same_users,
                ),
            )
        )
    return found


def markdown(found: Judgement) -> str:
    """Set everything as Markdown."""
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
            parts.append(_by_showing(here, EARNED, lambda entry: entry.earned).markdown())
            parts.append(f"Advantage over {found.reference}:")
            parts.append(_by_showing(here, ADVANTAGE, lambda entry: entry.advantage).markdown())
        parts += [f"### Scale in mode {mode}", _scale(found, mode)]
        parts.append(_matrix(found, rows).markdown())
    if found.transfers:
        parts += ["## Transfer ratios", TRANSFER.format(found.reference)]
        parts.append(_transfers(found).markdown())
    return "\n\n".join(parts) + "\n"


EARNED = {"returns": "return", "length": "length", "reward_per_step": "reward/step"}
ADVANTAGE = {"total": "in all", "length": "from length", "rate": "from reward/step"}
TRANSFER = (
    "Advantage over {} elsewhere, divided by that in the simulator of training. A dash: at home "
    "it is not above 0 with its interval."
)


def _by_showing(
    entries: Sequence[Entry],
    columns: Mapping[str, str],
    of: Callable[[Entry], Earned | Advantage | None],
) -> Table:
    """Set intervals in a row for each policy.

    :param columns: titles by the intervals' names in what ``of`` gives.
    """
    found = {(entry.policy, entry.slates): of(entry) for entry in entries}
    names = dict.fromkeys(name for (name, _), made in found.items() if made is not None)
    pairs = [(column, slates) for column in columns for slates in SHOWINGS]
    rows = [
        [name, *(give(getattr(found.get((name, s)), column, None)) for column, s in pairs)]
        for name in names
    ]
    return Table(["policy", *(f"{columns[column]}, {s}" for column, s in pairs)], rows)


def _scale(found: Judgement, mode: str) -> str:
    tops = [f"{letter}: {top or 'none is known'}" for letter, top in found.tops[mode].items()]
    return (
        f"Return by simulator, where {FLOOR} has 0 and the best that is known has 1 "
        f"({', '.join(tops)}), both shown as `mode`. A star marks the simulator of training."
    )


def _matrix(found: Judgement, entries: Sequence[Entry]) -> Table:
    head = ["policy", *(f"{letter}, {s}" for letter in found.simulators for s in SHOWINGS)]
    cells = {(e.policy, e.simulator, e.slates): e for e in entries}
    rows = []
    for name in dict.fromkeys(entry.policy for entry in entries):
        row = [name]
        for letter in found.simulators:
            for slates in SHOWINGS:
                entry = cells.get((name, letter, slates))
                star = "* " if entry is not None and entry.trained_in == letter else ""
                row.append(star + give(None if entry is None else entry.normalised))
        rows.append(row)
    return Table(head, rows)


def _transfers(found: Judgement) -> Table:
    head = ["policy", "mode", "slates", "from", "to", "advantage at home", "elsewhere"]
    rows = [
        [t.policy, t.mode, t.slates, t.home, t.away, *map(give, (t.at_home, t.elsewhere, t.ratio))]
        for t in found.transfers
    ]
    return Table([*head, "transfer ratio"], rows)
