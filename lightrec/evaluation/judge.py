"""Judging policies in several simulators and in the three modes, and tables of what came out."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from lightrec.errors import RecipeError
from lightrec.evaluation.arena import Arena, arena
from lightrec.evaluation.base import NOTHING, Json, Section, Table, give, to_plain
from lightrec.evaluation.comparison import (
    advantage,
    earned,
    normalised,
    per_user,
    transfer_ratio,
)
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
Row = dict[str, Any]


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
class Judgement:
    """All that was found.

    :param simulators: titles by the letter that stands for a simulator in all tables.
    :param reference: the contender over which advantages are taken.
    :param floor: the contender that stands for 0 on the scale.
    :param tops: by mode and letter, the contender that stands for 1; None where there is none.
    :param users: by letter, how many.
    :param rounds: sessions of each user, by letter.
    :param seed: of all chance.
    :param entries: see :func:`entries`.
    :param transfers: see :func:`transfers`.
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
    entries: Sequence[Row]
    transfers: Sequence[Row]
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
    by_letter = dict(zip(string.ascii_uppercase, places, strict=False))
    arenas = {
        letter: arena(place.what, sessions, seed, place.settings, place.model)
        for letter, place in by_letter.items()
    }
    trained_in = dict(_training(word, by_letter) for word in policies)
    if over is None:
        everywhere = all(REFERENCE in on.policies for on in arenas.values())
        over = REFERENCE if everywhere else FLOOR
    # Everything is prepared before anything is played, so that mistakes are named at once.
    fields = [
        _field(letter, mode, on.in_mode(mode), [*trained_in, over])
        for mode in sorted(modes, key=lambda mode: mode != "free")
        for letter, on in arenas.items()
    ]
    same = _play(fields, [*trained_in], sessions, seed)
    return Judgement(
        {letter: place.title() for letter, place in by_letter.items()},
        over,
        FLOOR,
        {mode: {f.simulator: f.top for f in fields if f.mode == mode} for mode in modes},
        {letter: len(on.users) for letter, on in arenas.items()},
        {letter: len(on.seeds(sessions, seed)) for letter, on in arenas.items()},
        seed,
        [entry for field in fields for entry in entries(field, over, trained_in)],
        [
            transfer
            for policy, letter in trained_in.items()
            for home in fields
            for away in fields
            if policy != over and home.mode == away.mode
            if home.simulator == letter != away.simulator
            for transfer in transfers(home, away, policy, over)
        ],
        same,
    )


def _training(word: str, places: Mapping[str, Place]) -> tuple[str, str | None]:
    """Tell a policy's name from the letter of the simulator in which it was trained."""
    name, at, letter = word.rpartition("@")
    if at and not Path(word).is_dir():
        if letter not in places:
            raise RecipeError(
                f"{word} names the simulator {letter!r} of its training, and there are "
                f"{', '.join(places)}: letters stand for the simulators in their order."
            )
        return name, letter
    for letter, place in places.items():
        # A run's own policy was trained in the run's user model A.
        run = Path(place.what)
        own = word == "policy" or Path(word).resolve() == (run / "policy").resolve()
        if place.model == "users_a" and run.is_dir() and own:
            return word, letter
    return word, None


def _field(letter: str, mode: Mode, there: Arena, named: Sequence[str]) -> Field:
    tops = [ORACLE] if ORACLE in there.policies else BASELINES
    names = dict.fromkeys([*named, FLOOR, *(name for name in tops if name in there.policies)])
    players = {name: there.policy(name) for name in names}
    return Field(letter, mode, there, players, {name: {} for name in players})


def _play(
    fields: Sequence[Field], named: Sequence[str], sessions: int, seed: int
) -> list[tuple[str, str]]:
    """Play all fields; those who were not named show their best alone.

    :returns: simulators and modes that are, by the simulator's own rules, the mode free.
    """
    free = {field.simulator: field for field in fields if field.mode == "free"}
    same = [
        field
        for field in fields
        if field.mode != "free" and free and field.arena is free[field.simulator].arena
    ]
    played = [
        (field, name, slates)
        for field in fields
        if field not in same
        for name in field.contenders
        for slates in SHOWINGS
        if slates == "mode" or name in named
    ]
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


def entries(field: Field, reference: str, trained_in: Mapping[str, str | None]) -> list[Row]:
    """Judge all contenders of a simulator, one row for each and each way of showing.

    :param reference: the contender over which advantages are taken.
    :param trained_in: letters of simulators, by contender.
    :returns: ``simulator``, ``mode``, ``policy``, ``slates`` and ``trained_in``; ``earned``, see
        :func:`~lightrec.evaluation.comparison.earned`; ``coverage``; ``normalised``, the return on
        the scale where the floor has 0 and the top 1, None where there is no scale; and
        ``advantage`` over the reference shown as ``mode``, None for itself.
    """
    floor, other = (field.sessions[name]["mode"] for name in (FLOOR, reference))
    top = None if field.top is None else field.sessions[field.top]["mode"]
    return [
        {
            "simulator": field.simulator,
            "mode": field.mode,
            "policy": name,
            "slates": slates,
            "trained_in": trained_in.get(name),
            "earned": earned(own),
            "coverage": own.coverage,
            "normalised": None if top is None else normalised(own, floor, top),
            "advantage": None if name == reference else advantage(own, other),
        }
        for name, shown in field.sessions.items()
        for slates, own in shown.items()
    ]


def transfers(home: Field, away: Field, policy: str, reference: str) -> list[Row]:
    """Follow a policy's advantage from one simulator to another, one row for each showing.

    :returns: ``policy``, ``mode``, ``slates``, ``home`` and ``away``; the advantages ``at_home``
        and ``elsewhere``; and ``ratio``, elsewhere over home, None where that at home is not above
        0 with its interval.
    """
    same_users = home.arena.users.tolist() == away.arena.users.tolist()
    found = []
    for slates in SHOWINGS:
        gained = []
        for field in (home, away):
            own, other = field.sessions[policy][slates], field.sessions[reference]["mode"]
            users = per_user(own, other)
            gained.append((advantage(own, other)["total"], users[:, 0] - users[:, 2]))
        (at_home, here), (elsewhere, there) = gained
        found.append(
            {
                "policy": policy,
                "mode": home.mode,
                "slates": slates,
                "home": home.simulator,
                "away": away.simulator,
                "at_home": at_home,
                "elsewhere": elsewhere,
                "ratio": transfer_ratio(here, there, same_users=same_users),
            }
        )
    return found


EARNED = {"returns": "return", "length": "length", "reward_per_step": "reward/step"}
ADVANTAGE = {"total": "in all", "length": "from length", "rate": "from reward/step"}


def markdown(found: Judgement) -> str:
    """Set everything as Markdown."""
    names = "\n".join(f"- {letter}: {title}" for letter, title in found.simulators.items())
    shown = (
        "`mode`: the items of highest score are shown; `sample`: slates are drawn. ± is half a "
        "95 % interval over users."
    )
    parts = [Section("Policies judged", f"{names}\n\n{shown}").markdown(1)]
    for mode in dict.fromkeys(entry["mode"] for entry in found.entries):
        rows = [entry for entry in found.entries if entry["mode"] == mode]
        parts.append(Section(f"Mode {mode}", "").markdown())
        for letter, title in found.simulators.items():
            here = [entry for entry in rows if entry["simulator"] == letter]
            section = Section(f"{letter}: {title}", "", _tables(here, found.reference))
            if (letter, mode) in found.same:
                words = "Its own rules are those of this mode: all is as in the mode free."
                section = Section(section.title, words)
            parts.append(section.markdown(3))
        tops = [f"{name}: {top or 'none is known'}" for name, top in found.tops[mode].items()]
        scale = (
            f"Return by simulator, where {FLOOR} has 0 and the best that is known has 1 "
            f"({', '.join(tops)}), both shown as `mode`. A star marks the simulator of training."
        )
        cells = {
            (entry["policy"], f"{entry['simulator']}, {entry['slates']}"): (
                "* " * (entry["trained_in"] == entry["simulator"]) + give(entry["normalised"])
            )
            for entry in rows
        }
        table = _pivot("policy", [*found.simulators], cells)
        parts.append(Section(f"Scale in mode {mode}", scale, [table]).markdown(3))
    if found.transfers:
        parts.append(_transferred(found).markdown())
    return "\n".join(parts)


def _tables(entries: Sequence[Row], reference: str) -> list[Table]:
    """Set what the contenders of a simulator earned, and their advantages."""
    parts = ("earned", "policy", EARNED), ("advantage", f"advantage over {reference}", ADVANTAGE)
    made = []
    for part, corner, columns in parts:
        cells = {
            (entry["policy"], f"{title}, {entry['slates']}"): give(entry[part][column])
            for entry in entries
            if entry[part] is not None
            for column, title in columns.items()
        }
        made.append(_pivot(corner, [*columns.values()], cells))
    return made


def _pivot(corner: str, columns: Sequence[str], cells: Mapping[tuple[str, str], str]) -> Table:
    """Set cells by policy and column, each column once for each way of showing."""
    heads = [f"{column}, {slates}" for column in columns for slates in SHOWINGS]
    rows = [
        [name, *(cells.get((name, head), NOTHING) for head in heads)]
        for name in dict.fromkeys(name for name, _ in cells)
    ]
    return Table([corner, *heads], rows)


def _transferred(found: Judgement) -> Section:
    head = ["policy", "mode", "slates", "from", "to", "advantage at home", "elsewhere"]
    rows = [
        [value if isinstance(value, str) else give(value) for value in row.values()]
        for row in found.transfers
    ]
    return Section(
        "Transfer ratios",
        f"Advantage over {found.reference} elsewhere, divided by that in the simulator of "
        "training. A dash: at home it is not above 0 with its interval.",
        [Table([*head, "transfer ratio"], rows)],
    )
