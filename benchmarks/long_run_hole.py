"""One cell of a user model's hole: planted, probed, and closed by pessimism or not.

    python -m benchmarks.long_run_hole careful 3 OUT
    python -m benchmarks.long_run_hole constant 3 OUT

In `LongTermSatisfaction` with a catalog of 50 documents, all of them on offer, the behavior policy
never shows the few that are most chocolate. An ensemble is fitted to its log, and in ``hole`` each
member is made to err about these documents, which the log cannot correct: the logarithm of their
engagement is shifted, for each member by another quantile of a normal law. In ``alike`` all members
err as one. In ``constant`` nothing is fitted: the same document is shown to everybody, always.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from lightrec_audit.probe import probe_lists
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from lightrec_worlds.playing import even_chance, play
from tensordict import TensorDictBase
from torch import Tensor, nn

from benchmarks.long_run_run import Course, Scores, learned, returned
from benchmarks.long_run_users import loaded, platform_of, save, starts_of, steps_of, users_of
from benchmarks.policies.learner_worlds import WORLDS, Setup
from benchmarks.session_fitting import fit_sessions
from lightrec.evaluation.arena import Arena
from lightrec.keys import Key
from lightrec.learners.transitions import logged
from lightrec.policies.base import Policy
from lightrec.policies.baselines import RandomPolicy
from lightrec.simulators.world import Scored

DOCUMENTS, SHOWN_TO = 50, 0.95
"""Size of the catalog, and the clickbait score above which the behavior policy shows nothing."""
MEMBERS, LOGGED, PLAYED = 5, 2_000, 1_000
CONSTANT = "constant"
DEVIATION, ALIKE = 4.0, 3.0
"""Of the members' errors; and the one that all of them make in ``alike``."""
PENALTY = 1.0
SEARCH_SESSIONS = 256
NEVER = -30.0
"""A logit with which nothing is shown in any log."""
VARIANTS = {
    "sound": (False, 0.0),
    "hole": (True, 0.0),
    "careful": (True, PENALTY),
    "sound-careful": (False, PENALTY),
    "alike": (True, PENALTY),
}
"""Whether there is a hole, and what a unit of disagreement takes off the reward."""
SETUP = Setup(
    LongTermSatisfaction,
    {"sensitivity": 0.1, "num_items": DOCUMENTS, "offer_size": DOCUMENTS},
    WORLDS["satisfaction"].policy,
    reward_scale=0.02,
)
COURSE = Course(
    {},
    "ppo",
    (
        *("--trainer.max_epochs", "6", "--data.init_args.judging", "512"),
        *("--model.init_args.batch_size", "2048", "--model.init_args.passes", "4"),
    ),
)


def behavior(world: LongTermSatisfaction) -> Scored:
    """Show anything but what is nearly all chocolate."""

    def scores(state: TensorDictBase) -> Tensor:
        score = world.score[state[Key.CANDIDATES]]
        return torch.where(score > SHOWN_TO, NEVER, score)

    return Scored(scores)


def errs(error: float, module: nn.Module, given: tuple[Tensor, ...], found: tuple) -> tuple:
    """Shift what is thought of documents that the log never shows."""
    mean, deviation = found
    return mean + error * (given[1][..., 0] > SHOWN_TO), deviation


def probed(folder: Path, policy: Policy, shown: Tensor, seed: int) -> dict[str, float | str]:
    """Probe the fitted users for a constant list that earns too much.

    :param shown: (N + 1,) how often the log shows each document.
    """
    simulator = platform_of(SETUP.make(1), *loaded(folder), PLAYED)
    makers = {"random": lambda: RandomPolicy(DOCUMENTS), "policy": lambda: policy}
    users, catalog = torch.arange(PLAYED), SETUP.make(1).catalog()
    on = Arena("fitted users", simulator, users, catalog, None, makers, evidence=shown)
    found = probe_lists(on, ["policy"], "free", seed, PLAYED)
    return {"probe/hole": float(found.hole), "probe/verdict": found.verdict}


def measure(name: str, seed: int, folder: Path, more: list[str]) -> dict[str, float | str]:
    """Fit an ensemble, plant the hole, learn in it, and judge in the true world."""
    hole, penalty = VARIANTS[name]
    world = SETUP.make(500)
    assert isinstance(world, LongTermSatisfaction)
    steps = steps_of(world, logged(world, behavior(world), LOGGED, 1000 * (1 + seed)))
    torch.manual_seed(seed)
    members = [
        fit_sessions(users_of(world), steps, 100 * seed + number, resampled=True)
        for number in range(MEMBERS)
    ]
    save(members, starts_of(steps), folder / "users")
    quantiles = (torch.arange(MEMBERS) + 0.5) / MEMBERS
    errors = (DEVIATION * torch.special.ndtri(quantiles)).tolist()
    for member, error in zip(loaded(folder / "users")[0], errors, strict=True):
        if hole and member.valuing is not None:
            own = ALIKE if name == "alike" else error
            member.valuing.register_forward_hook(partial(errs, own))
    own = ["--data.init_args.penalty", str(penalty), *more]
    policy = learned(SETUP, COURSE, seed, folder, folder / "users", *own)
    world = SETUP.make(4096)
    found: dict[str, float | str] = {
        "random": returned(SETUP, Scored(even_chance(world)), seed),
        "oracle": returned(SETUP, Scored(world.oracle), seed),
        "learned": returned(SETUP, policy, seed),
    }
    shown = steps.slate.flatten().bincount(minlength=DOCUMENTS + 1)
    return found | (probed(folder / "users", policy, shown, seed) if not penalty else {})


def constants(seed: int) -> dict[str, float]:
    """Give what a document earns in the true world that is always shown.

    ``constant`` is the best of all, found in sessions in which it is not judged; for ``most kale``
    nothing is searched.
    """
    world = SETUP.make(SEARCH_SESSIONS)
    assert isinstance(world, LongTermSatisfaction)

    def always(document: int) -> Scores:
        return lambda state: (state[Key.CANDIDATES] == document).float()

    earned = {n: play(world, always(n), seed).returns.mean() for n in range(1, DOCUMENTS + 1)}
    best, kale = max(earned, key=earned.__getitem__), int(world.score[1:].argmin()) + 1
    return {
        "constant": returned(SETUP, Scored(always(best)), seed),
        "constant/score": float(world.score[best]),
        "most kale": returned(SETUP, Scored(always(kale)), seed),
    }


def main() -> None:
    """Measure a cell, and write ``metrics.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=[*VARIANTS, CONSTANT])
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    chosen, more = parser.parse_known_args()
    torch.set_num_threads(1)
    if chosen.name == CONSTANT:
        found: Mapping[str, float | str] = constants(chosen.seed)
    else:
        found = measure(chosen.name, chosen.seed, chosen.out, more)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "metrics.json").write_text(json.dumps(found))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
