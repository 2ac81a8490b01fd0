"""Judging policies in several simulators and in the three modes, and tables of what came out."""

import dataclasses
import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lightrec.errors import RecipeError
from lightrec.evaluation.base import NOTHING, Section, Table
from lightrec.evaluation.simulation import Simulation, simulation
from lightrec.intervals import Interval, around, mean_interval, ratio_interval, standard_error
from lightrec.progress import progress_bar
from lightrec.settings import with_settings
from lightrec.simulators.rollout import Sessions
from lightrec.simulators.session_env import Mode

Showing = Literal["mode", "sample"]
"""How slates were shown: ``mode``, the highest scores; ``sample``, drawn from the policy's law."""
SHOWINGS: tuple[Showing, ...] = get_args(Showing)
FLOOR, ORACLE = "random", "oracle"
BASELINES = ("greedy", "constant", "popularity")
"""Policies of which the one of highest return stands for 1 where there is no oracle."""
REFERENCE = "greedy"
MODELS = {"users_a": "user model A", "users_b": "user model B"}
Row = dict[str, Any]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Played = dict[tuple[str, Showing], Sessions]
"""By policy and showing."""


@dataclass(frozen=True)
class Place:
    """A simulator as it was asked for: a world's name or a run folder, settings, a user model."""

    what: str
    settings: Mapping[str, Any]
    model: str = "users_b"

    def title(self) -> str:
        """A name that sets it apart from others."""
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        model = f", {MODELS[self.model]}" if Path(self.what).is_dir() else ""
        return f"{self.what}{model}" + (f" ({settings})" if settings else "")


def places_of(text: str) -> list[Place]:
    """Read a simulator's name: ``Greed``, ``Greed:seed=1,max_steps=20``, ``runs/video``.

    :returns: two for a run, its user models A and B.
    :raises RecipeError: where a setting is not of that form.
    """
    what, settings = with_settings(text)
    path = Path(what)
    if path.name in MODELS and (path.parent / "data").is_dir():
        return [Place(str(path.parent), settings, path.name)]
    if path.is_dir():
        return [Place(what, settings, model) for model in MODELS]
    return [Place(what, settings)]


@dataclass(frozen=True)
class Judgement:
    """Policies as they were judged in all simulators and modes.

    :param simulators: titles by the letter that stands for a simulator in all tables.
    :param reference: the policy over which advantages are taken.
    :param seed: of all chance.
    :param fields: a row for each ``simulator`` and ``mode``: ``top``, the policy that stands for
        1 on the scale on which ``random`` stands for 0, None where there is none; how many
        ``users`` played, in how many ``rounds``; and whether it is the ``same`` as the mode free by
        the simulator's own rules.
    :param entries: see :func:`entries`.
    :param transfers: see :func:`transfers`.
    """

    simulators: Mapping[str, str]
    reference: str
    seed: int
    fields: Sequence[Row]
    entries: Sequence[Row]
    transfers: Sequence[Row]

    def plain(self) -> Json:
        """Everything for a JSON file; an interval is a list of mean, low and high."""
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
    :param over: the policy over which advantages are taken; greedy where all simulators know
        it, else random.
    :raises RecipeError: where a policy is not known to a simulator, or a letter to nobody.
    """
    by_letter = dict(zip(string.ascii_uppercase, places, strict=False))
    simulations = {
        letter: simulation(place.what, sessions, seed, place.settings, place.model)
        for letter, place in by_letter.items()
    }
    trained_in = dict(_training(word, by_letter) for word in policies)
    everywhere = all(REFERENCE in on.policies for on in simulations.values())
    over = over or (REFERENCE if everywhere else FLOOR)
    there = {
        (mode, letter): on.in_mode(mode)
        for mode in sorted(modes, key=lambda mode: mode != "free")
        for letter, on in simulations.items()
    }
    played = _play(there, [*trained_in], over, sessions, seed)
    fields, rows, transferred = [], [], []
    for (mode, letter), on in there.items():
        here, top = played[on], _top(on, played[on])
        field = {"simulator": letter, "mode": mode}
        facts = {"top": top, "users": len(on.users), "rounds": len(on.seeds(sessions, seed))}
        same = mode != "free" and on is there.get(("free", letter))
        fields.append(field | facts | {"same": same})
        rows += [field | row for row in entries(here, top, over, trained_in)]
        for policy, home in trained_in.items():
            if policy != over and home not in (None, letter):
                same_users = simulations[home].users.tolist() == on.users.tolist()
                moved = transfers(played[there[mode, home]], here, policy, over, same_users)
                transferred += [{"home": home, "away": letter, "mode": mode} | row for row in moved]
    titles = {letter: place.title() for letter, place in by_letter.items()}
    return Judgement(titles, over, seed, fields, rows, transferred)


def _top(on: Simulation, played: Played) -> str | None:
    """Name who stands for 1: the oracle, else the baseline of highest return."""
    if ORACLE in on.policies:
        return ORACLE
    names = [name for name in BASELINES if (name, "mode") in played]
    return max(names, key=lambda name: float(played[name, "mode"].reward.mean()), default=None)


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
        learned = word == "policy" or Path(word).resolve() == (run / "policy").resolve()
        if place.model == "users_a" and run.is_dir() and learned:
            return word, letter
    return word, None


def _play(
    there: Mapping[tuple[Mode, str], Simulation],
    named: Sequence[str],
    over: str,
    sessions: int,
    seed: int,
) -> dict[Simulation, Played]:
    """Play in all modes and simulators; those who were not named show their best alone."""
    played: dict[Simulation, Played] = {}
    jobs = []
    for (mode, letter), on in there.items():
        if on in played:  # its own rules are already those of the mode
            continue
        played[on] = {}
        tops = [ORACLE] if ORACLE in on.policies else BASELINES
        names = [*named, over, FLOOR, *(name for name in tops if name in on.policies)]
        # Everybody is made before anything is played, so that mistakes are named at once.
        players = {name: on.policy(name) for name in dict.fromkeys(names)}
        jobs += [
            (on, f"{letter} {mode}: {name}", player, name, slates)
            for name, player in players.items()
            for slates in SHOWINGS
            if slates == "mode" or name in named
        ]
    bar = progress_bar(len(jobs), "play", iterable=jobs)
    for on, words, player, name, slates in bar:
        bar.set_description(words, refresh=False)
        best = slates == "mode"
        played[on][name, slates] = on.play(player, sessions, seed, deterministic=best)
    return played


def entries(
    played: Played, top: str | None, reference: str, trained_in: Mapping[str, str | None]
) -> list[Row]:
    """Judge all policies of a simulator, one row for each and each way of showing.

    :param top: the policy that stands for 1 on the scale; None where there is no scale.
    :param reference: the policy over which advantages are taken.
    :param trained_in: letters of simulators, by policy.
    :returns: ``policy``, ``slates`` and ``trained_in``; ``earned``, see
        :func:`earned`; ``coverage``; ``normalised``, the return on
        the scale, or None; and ``advantage`` over the reference shown as ``mode``, None for itself.
    """
    floor, other = played[FLOOR, "mode"], played[reference, "mode"]
    return [
        {
            "policy": name,
            "slates": slates,
            "trained_in": trained_in.get(name),
            "earned": earned(sessions),
            "coverage": sessions.coverage,
            "normalised": None if top is None else normalised(sessions, floor, played[top, "mode"]),
            "advantage": None if name == reference else advantage(sessions, other),
        }
        for (name, slates), sessions in played.items()
    ]


def transfers(
    home: Played, away: Played, policy: str, reference: str, same_users: bool
) -> list[Row]:
    """Follow a policy's advantage from one simulator to another, one row for each showing.

    :returns: ``policy``, ``slates``, the advantages ``at_home`` and ``elsewhere``, and ``ratio``,
        elsewhere over home, None where that at home is not above 0 with its interval.
    """
    rows = []
    for slates in SHOWINGS:
        both = [per_user(on[policy, slates], on[reference, "mode"]) for on in (home, away)]
        here, there = (users[:, 0] - users[:, 2] for users in both)
        gained = {"at_home": mean_interval(here), "elsewhere": mean_interval(there)}
        ratio = ratio_interval(there, here, paired=same_users)
        rows.append({"policy": policy, "slates": slates, **gained, "ratio": ratio})
    return rows


EARNED = {"returns": "return", "length": "length", "reward_per_step": "reward/step"}
ADVANTAGE = {"total": "in all", "length": "from length", "rate": "from reward/step"}


def markdown(judgement: Judgement) -> str:
    """Set everything as Markdown."""
    titles = judgement.simulators
    text = "".join(f"- {letter}: {title}\n" for letter, title in titles.items()) + (
        "\n`mode`: the items of highest score are shown; `sample`: slates are drawn. ± is half a "
        "95 % interval over users."
    )
    parts = [Section("Policies judged", text).markdown(1)]
    for mode in dict.fromkeys(field["mode"] for field in judgement.fields):
        parts.append(Section(f"Mode {mode}", "").markdown())
        fields = [field for field in judgement.fields if field["mode"] == mode]
        rows = [entry for entry in judgement.entries if entry["mode"] == mode]
        for (letter, title), field in zip(titles.items(), fields, strict=True):
            text, tables = "Its own rules are those of this mode: all is as in the mode free.", []
            if not field["same"]:
                here = [entry for entry in rows if entry["simulator"] == letter]
                text, tables = "", _tables(here, judgement.reference)
            parts.append(Section(f"{letter}: {title}", text, tables).markdown(3))
        tops = [f"{field['simulator']}: {field['top'] or 'none is known'}" for field in fields]
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
        table = _pivot("policy", [*titles], cells)
        parts.append(Section(f"Scale in mode {mode}", scale, [table]).markdown(3))
    if judgement.transfers:
        parts.append(_transferred(judgement).markdown())
    return "\n".join(parts)


def _tables(entries: Sequence[Row], reference: str) -> list[Table]:
    """Set what the policies of a simulator earned, and their advantages."""
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


def _transferred(judgement: Judgement) -> Section:
    head = ["from", "to", "mode", "policy", "slates", "advantage at home", "elsewhere"]
    rows = [
        [value if isinstance(value, str) else give(value) for value in row.values()]
        for row in judgement.transfers
    ]
    return Section(
        "Transfer ratios",
        f"Advantage over {judgement.reference} elsewhere, divided by that in the simulator of "
        "training. A dash: at home it is not above 0 with its interval.",
        [Table([*head, "transfer ratio"], rows)],
    )


def function_interval(function: Callable[[Tensor], Tensor], users: Tensor) -> Interval:
    """Student's interval of a smooth function of means, such as a ratio, by the delta method.

    :param function: from the means ``(M,)`` float64 of all columns to a number.
    :param users: ``(U, M)``, a row a user.
    :returns: the function of the means and its interval, which is infinite for fewer than two
        users.
    """
    numbers = users.double()
    point = numbers.mean(0)
    slope: Tensor = torch.func.grad(function)(point)
    return around(float(function(point)), *standard_error((numbers - point) @ slope))


def per_user(*sessions: Sessions) -> Tensor:
    """Each user's mean return and length over the seeds, side by side: (U, 2 · S) float64."""
    return torch.stack([x.double().mean(0) for s in sessions for x in (s.reward, s.length)], 1)


def earned(sessions: Sessions) -> dict[str, Interval]:
    """Sum sessions up.

    :returns: ``returns``, the sum of a session's rewards; ``length``, its steps; and
        ``reward_per_step``, the mean return over the mean length.
    """
    users = per_user(sessions)
    rate = function_interval(lambda mean: mean[0] / mean[1], users)
    returns, length = map(mean_interval, users.T)
    return {"returns": returns, "length": length, "reward_per_step": rate}


def advantage(sessions: Sessions, other: Sessions) -> dict[str, Interval]:
    """Say by how much a policy earned more than another on the same users, and from what.

    With length L and reward per step r = return / L of the two, the return's difference is exactly
    ΔL · mean(r) + mean(L) · Δr.

    :returns: ``total``; ``length``, ΔL · mean(r): what longer sessions bring; and ``rate``,
        mean(L) · Δr: what better steps bring.
    """
    users = per_user(sessions, other)
    parts: dict[str, Callable[[Tensor], Tensor]] = {
        "length": lambda m: (m[1] - m[3]) * (m[0] / m[1] + m[2] / m[3]) / 2,
        "rate": lambda m: (m[1] + m[3]) / 2 * (m[0] / m[1] - m[2] / m[3]),
    }
    intervals = {name: function_interval(part, users) for name, part in parts.items()}
    return {"total": mean_interval(users[:, 0] - users[:, 2]), **intervals}


def normalised(sessions: Sessions, floor: Sessions, top: Sessions) -> Interval | None:
    """Put a policy's return on the scale where floor and top have 0 and 1.

    :returns: None where the top is not above the floor with its interval.
    """
    users = per_user(sessions, floor, top)[:, ::2]
    if mean_interval(users[:, 2] - users[:, 1]).low <= 0:
        return None
    return function_interval(lambda mean: (mean[0] - mean[1]) / (mean[2] - mean[1]), users)


def give(interval: Interval | None) -> str:
    """Write a mean with half the width of its interval, or its ends where it lies unevenly."""
    if interval is None:
        return NOTHING
    half, other = interval.high - interval.mean, interval.mean - interval.low
    if half == float("inf"):
        return f"{interval.mean:.3g}"
    if abs(half - other) > 1e-6 * abs(half):
        return f"{interval.mean:.3g} ({interval.low:.2g} to {interval.high:.2g})"
    return f"{interval.mean:.3g} ± {half:.2g}"


def to_plain(value: object) -> Json:
    """Make dataclasses, mappings, sequences and numbers what JSON can hold.

    An interval is a list of mean, low and high; what is infinite or no number becomes null.

    :raises TypeError: where something else is found.
    """
    text = json.dumps(value, default=dataclasses.asdict)
    plain: Json = json.loads(text, parse_constant=lambda _: None)
    return plain
