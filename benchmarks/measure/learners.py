"""A learner in a world: trained by a recipe that ships, then judged on sessions of its own.

Returns are sums of true rewards over 4,096 sessions, under the same chance for all, and policies
are judged as they show what they score highest (``mode``) and as they draw (``sample``). Without a
learner those are judged who learn nothing.

``offline`` judges what was learned from one log of the world `greed` and nothing else, in 2,048
sessions. The log, training and judging are those of the recipe `worlds/offline`; a mediocre policy
shows 20,000 sessions.
"""

import time
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.measure import Cell
from benchmarks.measure.worlds import WORLDS, Setup, at_seed, references
from lightrec.keys import Key
from lightrec.policies.base import LearnedPolicy, Policy
from lightrec.simulators.rollout import ActingPolicy, play
from lightrec.simulators.world import Scored, World
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

SESSIONS, OFFLINE = 4096, 2048
"""In which policies are judged, and which no training has."""
RECIPE = "worlds/offline"


class Course(Callback):
    """Notes what validation says after every epoch, and in how many CPU seconds."""

    def __init__(self) -> None:
        self.began = time.process_time()
        self.points: list[tuple[float, float]] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note one."""
        found = float(trainer.callback_metrics["validation/return"])
        self.points.append((round(time.process_time() - self.began, 1), found))


def judged(
    name: str, policy: ActingPolicy, world: World, seed: int, deterministic: bool = True
) -> dict[str, float]:
    """Mean true return and length of a policy's sessions."""
    truth = torch.zeros(world.batch_size[0])

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        truth.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

    torch.manual_seed(seed)
    users, how = torch.arange(len(truth)), {"deterministic": deterministic, "record": record}
    sessions, _ = play(policy, world, users, at_seed(seed), **how)
    return {f"{name}/return": float(truth.mean()), f"{name}/length": float(sessions.length.mean())}


def trained(setup: Setup, learner: str, seed: int, more: list[str], folder: Path) -> dict:
    """Train and judge, and note the course."""
    began, course = time.process_time(), Course()
    overrides = [*setup.overrides(learner), "--seed_everything", str(seed), *more]
    stage = Stage("policy", recipes.find(f"worlds/{learner}")[1], folder / "policy", overrides)
    train(stage, [course])
    found: dict = {"training_cpu_seconds": time.process_time() - began}
    policy, world = Policy.load(folder / "policy"), setup.make(SESSIONS)
    for name in ("mode", "sample"):
        found |= judged(name, policy, world, seed, name == "mode")
    return found | {"course": course.points}


def compared(setup: Setup, seed: int) -> dict:
    """Judge what learns nothing, on the same sessions."""
    world, found = setup.make(SESSIONS), {}
    for name, scores in references(world).items():
        found |= judged(name, Scored(scores), world, seed)
    return found


def measure(cell: Cell) -> dict:
    """Train and judge a learner, or judge who learns nothing."""
    setup, given = WORLDS[cell["world"]], cell.settings
    if "draw" in given:
        setup = replace(setup, settings=setup.settings | {"seed": given["draw"]})
    if "learner" not in given:
        return compared(setup, cell.seed)
    return trained(setup, given["learner"], cell.seed, cell.options, cell.out)


def learned(loss: str, more: list[str], cell: Cell) -> LearnedPolicy:
    """Train by the recipe."""
    # Few sessions to be looked at after each epoch, as nothing depends on them.
    own = ["--model.init_args.loss", loss, "--data.init_args.judging", "16"]
    own += ["--seed_everything", str(cell.seed), *more, *cell.options]
    train(Stage("policy", recipes.find(RECIPE)[1], cell.out / loss / "policy", own))
    return LearnedPolicy.load(cell.out / loss / "policy")


def offline(cell: Cell) -> dict[str, float]:
    """Train all learners on the log of a seed; ``drawn`` is what those earn that draw."""
    behavior = recipes.find(RECIPE)[1]["data"]["init_args"]["behavior"]
    world, seed = Greed(OFFLINE), cell.seed
    logger = WorldData("Greed", behavior=behavior)._behavior(world)
    known = {"random": Scored(even_chance(world)), "oracle": Scored(world.oracle)}
    known |= {"behavior": logger}
    known |= {loss: learned(loss, more, cell) for loss, more in cell["losses"].items()}
    metrics: dict[str, float] = {}
    for name, who in known.items():
        metrics |= judged(name, who, world, seed)
        if name in ("behavior", "bc", "iql"):
            metrics[f"{name}/drawn"] = judged(name, who, world, seed, False)[f"{name}/return"]
    return metrics
