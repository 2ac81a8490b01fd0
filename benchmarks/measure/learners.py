"""A learner in a world: trained by a recipe that ships, then judged on sessions of its own.

Returns are sums of true rewards over 4,096 sessions, under the same chance for all, and policies
are judged as they show what they score highest (``mode``) and as they draw (``sample``). Without a
learner those are judged who learn nothing.
"""

import time
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.measure import Cell
from benchmarks.measure.worlds import WORLDS, Setup, at_seed, references
from lightrec.keys import Key
from lightrec.policies.base import Policy
from lightrec.simulators.rollout import ActingPolicy, play
from lightrec.simulators.world import Scored, World
from lightrec.stages import recipes
from lightrec.stages.stage import Stage
from lightrec.stages.train import train

SESSIONS = 4096


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
    truth = torch.zeros(SESSIONS)

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        truth.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

    torch.manual_seed(seed)
    users, how = torch.arange(SESSIONS), {"deterministic": deterministic, "record": record}
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
