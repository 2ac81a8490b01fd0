"""Judging policies in several simulators and in the three modes: what is played, and where."""

import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from lightrec.errors import RecipeError
from lightrec.evaluation.judging import (
    SHOWINGS,
    Entry,
    Field,
    Showing,
    Transfer,
    entries,
    transfers,
)
from lightrec.evaluation.simulate import Arena, arena, seeds_of
from lightrec.simulators.modes import Mode
from lightrec.simulators.rollout import Contender, Sessions, judge

FLOOR, ORACLE = "random", "oracle"
BASELINES = ("greedy", "constant", "popularity")
"""Of which the one of highest return stands for 1 where there is no oracle."""
REFERENCE = "greedy"
MODELS = {"reward": "user model A", "judge": "user model B"}


@dataclass(frozen=True)
class Place:
    """A simulator as it was asked for.

    :param what: a world's name, or a run folder.
    :param settings: of the simulator.
    :param model: which user model of a run.
    """

    what: str
    settings: Mapping[str, Any]
    model: str = "judge"

    def title(self) -> str:
        """Give it a name that tells it from others."""
        own = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        model = f", {MODELS[self.model]}" if Path(self.what).is_dir() else ""
        return f"{self.what}{model}" + (f" ({own})" if own else "")


@dataclass(frozen=True)
class Judgement:
    """All that was found.

    :param simulators: titles by the letter that stands for a simulator in all tables.
    :param reference: the contender over which advantages are told.
    :param tops: by letter and mode, the contender that stands for 1; None where there is none.
    :param users: by letter, how many.
    :param rounds: sessions of each user, by letter.
    :param seed: of all chance.
    :param same: by letter and mode, where a simulator's own rules are those of the mode already, so
        that what was played in the mode free stands there again.
    """

    simulators: Mapping[str, str]
    reference: str
    tops: Mapping[tuple[str, str], str | None]
    users: Mapping[str, int]
    rounds: Mapping[str, int]
    seed: int
    entries: Sequence[Entry]
    transfers: Sequence[Transfer]
    same: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class _Ground:
    """An arena in a mode, with all who will play there."""

    letter: str
    mode: Mode
    arena: Arena
    contenders: Mapping[str, Contender]
    named: Sequence[str]
    played: bool
    """Whether it has to be played, or is by its own rules what was played in the mode free."""

    def plays(self) -> Iterator[tuple[str, Showing]]:
        for name in self.contenders if self.played else ():
            for slates in SHOWINGS if name in self.named else SHOWINGS[:1]:
                yield name, slates


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
    :param over: the contender over which advantages are told; greedy by encoder where all
        simulators know it, else random.
    :raises RecipeError: where a policy is not known to a simulator, or a letter to nobody.
    """
    arenas = {
        letter: arena(place.what, sessions, seed, place.settings, place.model)
        for letter, place in zip(string.ascii_uppercase, places, strict=False)
    }
    trained_in = _training(policies, arenas, places)
    named = list(trained_in)
    if over is None:
        everywhere = all(REFERENCE in on.policies for on in arenas.values())
        over = REFERENCE if everywhere else FLOOR
    grounds = _grounds(arenas, named, over, modes)
    fields = _play(grounds, sessions, seed)
    home = {name: letter for name, letter in trained_in.items() if letter is not None}
    return Judgement(
        {letter: place.title() for letter, place in zip(arenas, places, strict=True)},
        over,
        {(field.simulator, field.mode): field.top for field in fields},
        {letter: len(on.users) for letter, on in arenas.items()},
        {letter: len(seeds_of(on, sessions, seed)) for letter, on in arenas.items()},
        seed,
        [entry for field in fields for entry in entries(field, over, home)],
        _transfers(fields, home, arenas, over),
        [(ground.letter, ground.mode) for ground in grounds if not ground.played],
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
        if place.model == "reward" and run.is_dir() and own:
            return letter
    return None


def _grounds(
    arenas: Mapping[str, Arena], named: Sequence[str], over: str, modes: Sequence[Mode]
) -> list[_Ground]:
    """Prepare everything before anything is played, so that mistakes are told at once."""
    grounds = []
    for mode in sorted(modes, key=lambda mode: mode != "free"):
        for letter, on in arenas.items():
            there = on.in_mode(mode)
            same = there is on and mode != "free" and "free" in modes
            tops = [ORACLE] if ORACLE in there.policies else BASELINES
            others = [FLOOR, *(name for name in tops if name in there.policies)]
            names = list(dict.fromkeys([*named, over, *others]))
            players = {name: there.policy(name) for name in names}
            grounds.append(_Ground(letter, mode, there, players, named, not same))
    return grounds


def _play(grounds: Sequence[_Ground], sessions: int, seed: int) -> list[Field]:
    total = sum(len(list(ground.plays())) for ground in grounds)
    fields: dict[tuple[str, Mode], Field] = {}
    with tqdm(total=total, unit="play", mininterval=0.2 if sys.stderr.isatty() else 15) as bar:
        for ground in grounds:
            found: dict[str, dict[Showing, Sessions]] = {name: {} for name in ground.contenders}
            on = ground.arena
            seeds = seeds_of(on, sessions, seed)
            for name, slates in ground.plays():
                bar.set_description(f"{ground.letter} {ground.mode}: {name}", refresh=False)
                player, drawn = {name: ground.contenders[name]}, slates == "sample"
                played = judge(player, on.simulator, on.users, seeds, deterministic=not drawn)
                found[name][slates] = played[name]
                bar.update()
            key, users = (ground.letter, ground.mode), len(on.users)
            if ground.played:
                top = _top(ground, found)
                fields[key] = Field(ground.letter, ground.mode, users, found, FLOOR, top)
            else:
                fields[key] = replace(fields[ground.letter, "free"], mode=ground.mode)
    return list(fields.values())


def _top(ground: _Ground, found: Mapping[str, Mapping[Showing, Sessions]]) -> str | None:
    """Choose what stands for 1: the oracle, else the baseline of highest return."""
    if ORACLE in ground.arena.policies:
        return ORACLE
    known = [name for name in BASELINES if name in ground.arena.policies]
    return max(known, key=lambda name: float(found[name]["mode"].reward.mean()), default=None)


def _transfers(
    fields: Sequence[Field], trained_in: Mapping[str, str], arenas: Mapping[str, Arena], over: str
) -> list[Transfer]:
    found = []
    for policy, letter in trained_in.items():
        for home in fields:
            for away in fields:
                if policy == over or home.simulator != letter or away.simulator == letter:
                    continue
                if home.mode == away.mode:
                    users = [arenas[field.simulator].users for field in (home, away)]
                    same = users[0].tolist() == users[1].tolist()
                    found += transfers(home, away, policy, over, same_users=same)
    return found
