"""One cell of the benchmark `long_run`: a policy from a log alone, or one that met the true world.

    python -m benchmarks.long_run_run truth retention 3 OUT
    python -m benchmarks.long_run_run log retention 3 OUT
    python -m benchmarks.long_run_run rules retention 3 OUT

One thread. Whoever learns from the log has users fitted to it and nothing else; the learner, its
settings and its epochs are those of the policy that learns in the true world. Both are judged
there, in 4,096 sessions that nobody has met, by what they score highest, and so are fixed rules.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from lightrec_worlds.playing import even_chance
from lightrec_worlds.playing import play as play_scores
from lightrec_worlds.retention import Retention
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.long_run_users import FittedData, save, starts_of, steps_of, users_of
from benchmarks.policies.learner_run import SESSIONS
from benchmarks.policies.learner_worlds import WORLDS, Setup, at_seed, true_rewards
from benchmarks.policies.learners import MANY
from benchmarks.session_fitting import SessionSteps, fit_sessions, log_likelihoods
from benchmarks.session_model import SessionModel
from lightrec.keys import Key
from lightrec.learners.transitions import logged
from lightrec.learners.world_data import WorldData
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.world import Scored
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

LOGGED, HELD_OUT = 5_000, 1_000
"""Users of the log, and of one that only likelihoods are measured on."""
AT_ONCE = 1_000
Scores = Callable[[TensorDictBase], Tensor]


@dataclass(frozen=True)
class Course:
    """How a world's log is made, and who learns in it.

    :param behavior: see :class:`~lightrec.learners.world_data.WorldData`.
    :param learner: of the recipe.
    :param settings: of the recipe, beside those of the world.
    """

    behavior: dict[str, float]
    learner: str
    settings: tuple[str, ...]


COURSES = {
    "satisfaction": Course(
        {"score": 1.0},
        "ppo",
        ("--trainer.max_epochs", "6", *MANY, "--model.init_args.sessions", "1024"),
    ),
    "retention": Course(
        {"greedy": 0.3, "quality": 1.0}, "slate-sarsa", ("--trainer.max_epochs", "4")
    ),
}


def returned(setup: Setup, contender: Contender, seed: int, deterministic: bool = True) -> float:
    """Give a contender's mean return in the true world."""
    truth = torch.zeros(SESSIONS)
    torch.manual_seed(seed)
    play(
        contender,
        setup.make(SESSIONS),
        torch.arange(SESSIONS),
        at_seed(seed),
        deterministic=deterministic,
        record=true_rewards(truth),
    )
    return float(truth.mean())


def learned(
    setup: Setup, course: Course, seed: int, folder: Path, fitted: Path | None = None, *more: str
) -> Policy:
    """Train by the recipe, in the true world or in fitted users."""
    recipe: dict[str, Any] = recipes.find(f"worlds/{course.learner}")[1]
    own = [*setup.overrides(course.learner), *course.settings, "--seed_everything", str(seed)]
    if fitted is not None:
        recipe["data"]["class_path"] = f"{FittedData.__module__}.{FittedData.__name__}"
        own += ["--data.init_args.fitted", str(fitted)]
    train(Stage("policy", recipe, folder / "policy", [*own, *more]))
    return Policy.load(folder / "policy")


def truth(name: str, seed: int, folder: Path, more: list[str]) -> dict[str, float]:
    """Learn in the true world, beside who learns nothing."""
    setup, course = WORLDS[name], COURSES[name]
    world, data = setup.make(SESSIONS), WorldData(setup.kind.__name__, behavior=course.behavior)
    found = {
        "random": returned(setup, Scored(even_chance(world)), seed),
        "oracle": returned(setup, Scored(world.oracle), seed),
        "behavior": returned(setup, data._behavior(world), seed, deterministic=False),
    }
    began = time.process_time()
    policy = learned(setup, course, seed, folder, None, *more)
    found["seconds"] = time.process_time() - began
    return found | {"learned": returned(setup, policy, seed)}


def log_of(setup: Setup, course: Course, sessions: int, seed: int) -> SessionSteps:
    """Let the behavior policy show sessions, and read what a platform notes of them."""
    world, data = setup.make(AT_ONCE), WorldData(setup.kind.__name__, behavior=course.behavior)
    return steps_of(world, logged(world, data._behavior(world), sessions, seed))


def absence_before(steps: SessionSteps) -> Tensor:
    """Give the logarithm of 1 + the last absence before each step, (R, 1)."""
    order = torch.arange(len(steps))
    came = torch.zeros_like(steps.absence)
    came[1:] = (steps.absence * steps.seen)[:-1]
    first = torch.zeros_like(steps.seen)
    first[next(steps.waves())] = True
    latest = torch.where(first | (came > 0), order, 0).cummax(0).values
    return torch.where(first[latest], 0, came[latest]).float().log1p().unsqueeze(1)


def likelihoods(
    vectors: Tensor, model: SessionModel, steps: SessionSteps, test: SessionSteps, seed: int
) -> dict[str, float]:
    """Give held-out log-likelihoods of a model, of a simple rule, and of one law for everybody.

    The rule has no traces, and nothing of the context but the last absence: it goes by the slate,
    by how many were shown and taken in the session, and by how long the user was away.
    """

    def plain() -> SessionModel:
        settings = {"periods": model.periods, "valued": model.valuing is not None}
        made = SessionModel(len(vectors) - 1, vectors.shape[1], 1, 0, **settings)
        return made.set_items(vectors)

    known, asked = (
        SessionSteps(**(vars(each) | {"context": absence_before(each)})) for each in (steps, test)
    )
    rule = fit_sessions(plain(), known, seed)
    constant = fit_sessions(plain(), known, seed, alike=True)
    found = {
        "model": log_likelihoods(model, test),
        "rule": log_likelihoods(rule, asked),
        "constant": log_likelihoods(constant, asked, alike=True),
    }
    return {f"{part}/{who}": value for who, all_ in found.items() for part, value in all_.items()}


def from_log(name: str, seed: int, folder: Path, more: list[str]) -> dict[str, float]:
    """Fit users to a log, learn in them, and judge in the true world."""
    setup, course = WORLDS[name], COURSES[name]
    world, began = setup.make(1), time.process_time()
    steps, test = (
        log_of(setup, course, count, 1000 * (1 + seed) + held_out)
        for held_out, count in enumerate((LOGGED, HELD_OUT))
    )
    torch.manual_seed(seed)
    model = fit_sessions(users_of(world), steps, seed)
    found: dict[str, float] = {"steps": len(steps), "fitting_seconds": time.process_time() - began}
    found |= likelihoods(world.item_vectors, model, steps, test, seed)
    print(found, flush=True)
    save([model], starts_of(steps), folder / "users")
    began = time.process_time()
    policy = learned(setup, course, seed, folder, folder / "users", *more)
    found["seconds"] = time.process_time() - began
    return found | {"learned": returned(setup, policy, seed)}


def fixed_rules(setup: Setup, seed: int) -> dict[str, Scores]:
    """Give what scores by numbers of the catalog, for everybody and always.

    The best clickbait score is searched in the true world, in sessions that nobody is judged by.
    """
    world = setup.make(AT_ONCE)
    if isinstance(world, LongTermSatisfaction):
        levels = [by(-(world.score - level / 10).abs()) for level in range(11)]
        best = max(levels, key=lambda level: float(play_scores(world, level, seed).returns.mean()))
        return {"greedy": by(world.score), "most kale": by(-world.score), "one level": best}
    assert isinstance(world, Retention)

    def both(state: TensorDictBase) -> Tensor:
        return world.greedy(state).sigmoid() * world.quality[state[Key.CANDIDATES]]

    own = {"quality": by(world.quality), "least bait": by(-world.bait)}
    return {"greedy": world.greedy, **own, "both": both}


def by(number: Tensor) -> Scores:
    """Score what is on offer by a number (N + 1,) of each item."""
    return lambda state: number[state[Key.CANDIDATES]]


def rules(name: str, seed: int, folder: Path, more: list[str]) -> dict[str, float]:
    """Judge fixed rules in the true world: nothing is learned."""
    found = fixed_rules(WORLDS[name], seed).items()
    return {rule: returned(WORLDS[name], Scored(scores), seed) for rule, scores in found}


WHAT = {"truth": truth, "log": from_log, "rules": rules}


def main() -> None:
    """Measure a cell, and write ``metrics.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("world", choices=COURSES)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    chosen, more = parser.parse_known_args()
    torch.set_num_threads(1)
    found = WHAT[chosen.what](chosen.world, chosen.seed, chosen.out, more)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "metrics.json").write_text(json.dumps(found))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
