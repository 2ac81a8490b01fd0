"""Policies learned from one log of the world `greed` and nothing else, in the shares of its oracle.

The log, training and judging are those of the recipe `worlds/offline`; a mediocre policy shows
20,000 sessions.
"""

import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance
from lightrec_worlds.world_data import WorldData

from benchmarks.measure import Cell
from benchmarks.measure.worlds import at_seed
from lightrec.policies.base import LearnedPolicy
from lightrec.simulators.rollout import ActingPolicy, play
from lightrec.simulators.world import Scored
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

SESSIONS = 2048
"""In which policies are judged, and which no training has."""
RECIPE = "worlds/offline"


def returned(policy: ActingPolicy, seed: int, deterministic: bool) -> float:
    """Mean return in sessions of their own."""
    torch.manual_seed(seed)
    users = torch.arange(SESSIONS)
    played, _ = play(policy, Greed(SESSIONS), users, at_seed(seed), deterministic=deterministic)
    return float(played.reward.mean())


def learned(loss: str, more: list[str], cell: Cell) -> LearnedPolicy:
    """Train by the recipe."""
    # Few sessions to be looked at after each epoch, as nothing depends on them.
    own = ["--model.init_args.loss", loss, "--data.init_args.judging", "16"]
    own += ["--seed_everything", str(cell.seed), *more, *cell.options]
    train(Stage("policy", recipes.find(RECIPE)[1], cell.out / loss / "policy", own))
    return LearnedPolicy.load(cell.out / loss / "policy")


def measure(cell: Cell) -> dict[str, float]:
    """Train all learners on the log of a seed; ``drawn`` is what those earn that draw."""
    behavior = recipes.find(RECIPE)[1]["data"]["init_args"]["behavior"]
    world, seed = Greed(SESSIONS), cell.seed
    logger = WorldData("Greed", behavior=behavior)._behavior(world)
    known = {
        "random": Scored(even_chance(world)),
        "oracle": Scored(world.oracle),
        "behavior": logger,
    }
    metrics = {f"{name}/return": returned(who, seed, True) for name, who in known.items()}
    metrics["behavior/drawn"] = returned(logger, seed, False)
    for loss, more in cell["losses"].items():
        policy = learned(loss, more, cell)
        metrics[f"{loss}/return"] = returned(policy, seed, True)
        if loss in ("bc", "iql"):
            metrics[f"{loss}/drawn"] = returned(policy, seed, False)
    return metrics
