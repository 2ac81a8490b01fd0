"""One log and seed of policies that learn in a user model and are judged in another, or controls.

Policies of one class learn in user model A, with one number to learn and with layers of their own,
the latter with and without the pessimism of the recipe `careful`, and in user model B, which then
judges all of them. Three controls say what planning has to do with a gain: who is greedy by the
judge's own law and learns nothing, who learns with γ = 0, and the best constant list.
"""

import json
import sys
from pathlib import Path

import torch

from benchmarks.cells import data_folder
from lightrec.evaluation.arena import Arena, arena
from lightrec.evaluation.contenders import best_constant_lists, mixture
from lightrec.evaluation.sessions import MIXTURES, SEARCH
from lightrec.policies.base import Policy
from lightrec.policies.baselines import ScoringPolicy
from lightrec.policies.mixture import utilities
from lightrec.run import Run
from lightrec.simulators.rollout import Contender, Sessions
from lightrec.stages.run import run

LOGS = {
    "ml-100k": {"log": "ml-100k"},
    "online-retail": {"log": "online-retail", "repeats": True},
}
WHOLE = {"data.init_args.penalty": 0.0, "model.init_args.anchor": 0.0}
POLICIES = {
    "number": {
        **WHOLE,
        "trainer.max_epochs": 5,
        "model.init_args.learning_rate": 0.01,
        "data.init_args.policy.init_args.size": 0,
        "data.init_args.reward": "SurplusReward",
    },
    "whole": WHOLE,
    "careful": {},
    "judge": WHOLE,
}
"""Settings over the recipe ``careful``: one weight in A, as ``generic`` has it; a whole policy in
A; the recipe as it is; and a whole policy in the judge."""
MYOPIC = WHOLE | {"model.init_args.discount": 0.0}
PLAIN = ("blend", "even-mixture", "user-model-a", "popularity", "random")
SESSIONS, ROUNDS = 1_000, 2


def train(name: str, settings: dict[str, float | str], log: str, seed: int, out: Path) -> Contender:
    """Do all stages up to a policy; those before it are done once."""
    learns_in = str(out / ("users_b" if name.startswith("judge") else "users_a"))
    given = {"data.init_args.users_a": learns_in} | settings
    if name != "careful":
        given["data.init_args.users_c"] = learns_in  # nobody else judges its epochs
    words = [f"--{key}={value}" for key, value in given.items()]
    log_and_more = LOGS[log] | {"log": data_folder() / LOGS[log]["log"]}
    run("careful", out=out, seed=seed, until="policy", overrides={"policy": words}, **log_and_more)
    return Policy.load(out / "policy")


def judged(contenders: dict[str, Contender], judge: Arena, seed: int) -> dict[str, Sessions]:
    """Play the same sessions with each."""
    return {
        name: judge.play(contender, ROUNDS * SESSIONS, seed, deterministic=True)
        for name, contender in contenders.items()
    }


def policies(log: str, seed: int, out: Path) -> dict[str, float]:
    """Train, choose the mixture in A, judge in B."""
    learned = {name: train(name, own, log, seed, out) for name, own in POLICIES.items()}
    made = Run(out)
    mixtures = {f"mixture {w:g}": mixture(made.blend, made.users_a, w) for w in MIXTURES}
    home = arena(str(out), SESSIONS, seed, {}, "users_a")
    at_home = judged(mixtures, home, 1000 + seed)
    best = max(mixtures, key=lambda name: float(at_home[name].accepted.mean()))
    judge = arena(str(out), SESSIONS, seed, {})
    contenders = {name: judge.policy(name) for name in PLAIN}
    contenders |= {"mixture": mixtures[best], **learned}
    return accepted(contenders, judge, seed) | {"mixture/weight": float(best.split()[1])}


def myopic(log: str, seed: int, out: Path) -> dict[str, float]:
    """Train with γ = 0 in B, which judges."""
    learned = {"judge-myopic": train("judge-myopic", MYOPIC, log, seed, out)}
    return accepted(learned, arena(str(out), SESSIONS, seed, {}), seed)


def controls(log: str, seed: int, out: Path) -> dict[str, float]:
    """Judge in B, without training a policy, who knows B's law, and the best constant list."""
    log_and_more = LOGS[log] | {"log": data_folder() / LOGS[log]["log"]}
    run("careful", out=out, seed=seed, until="users_b", **log_and_more)
    law, judge = Run(out).users_b, arena(str(out), SESSIONS, seed, {})
    contenders = {name: judge.policy(name) for name in PLAIN}
    contenders["judge-greedy"] = ScoringPolicy(law.num_items, utilities(law))
    _, contenders["constant"] = best_constant_lists(
        judge.simulator, judge.users, seed * 1000 + SEARCH, known=[contenders["popularity"]]
    )
    return accepted(contenders, judge, seed)


def accepted(contenders: dict[str, Contender], judge: Arena, seed: int) -> dict[str, float]:
    """Give what is accepted in a session, and its steps."""
    found = {}
    for name, each in judged(contenders, judge, seed).items():
        found[f"{name}/accepted"] = float(each.accepted.mean())
        found[f"{name}/length"] = float(each.length.mean())
    return found


WHAT = {"policies": policies, "controls": controls, "myopic": myopic}


def main() -> None:
    """Measure a log and a seed, and write ``metrics.json``."""
    what, log, seed, out, runs = sys.argv[1:]
    torch.set_num_threads(1)
    metrics = WHAT[what](log, int(seed), Path(runs) / f"{log}-{seed}")
    print(metrics)
    (Path(out) / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
