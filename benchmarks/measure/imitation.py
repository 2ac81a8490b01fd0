"""lightrec's learners of imitation in CartPole; evaluations are not counted."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightrec_lab.adversarial import AIRL, GAIL
from lightrec_lab.imitation import SQIL
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_worlds.tower import TowerPolicy
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDict

from benchmarks.measure import Cell
from benchmarks.measure.carts import CartPole, record
from benchmarks.peers.protocol import TRAINER, Returns
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.policy_stage import PolicyStage

DISCOUNT, GOAL = 0.95, 0.95
VARIANTS: dict[str, Any] = {
    "gail": GAIL,
    "airl": lambda: AIRL(discount=DISCOUNT),
    "sqil": SQIL,
}
# The observation says all of a state: a horizon that far away keeps time out of it.
POLICY = partial(TowerPolicy, pools=0, size=0, hidden=[64, 64], horizon=1_000_000)
SPREAD = (0.3, 0.2, 0.01, 0.2)
"""By how much an expert's states differ."""
COMMON: dict[str, Any] = {
    "critic_hidden": (64, 64),
    "sessions": 32,
    "steps": 128,
    "discount": DISCOUNT,
    "learning_rate": 1e-3,
}
ON_POLICY = {"passes": 5, "batch_size": 512, "gae_lambda": 0.95}
SOFT_Q = {"loss": "soft-q", "updates": 32, "capacity": 50_000, "warm_up": 0}


class Course(Callback):
    """Counts the seconds of training alone, and stops at the goal or the end of the time."""

    def __init__(self, goal: float, limit: float) -> None:
        self.returns = Returns(goal, limit)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.returns.pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        reached = float(trainer.callback_metrics["validation/return"])
        settings = pl_module.hparams
        iterations = (trainer.current_epoch + 1) * trainer.num_training_batches
        steps = int(iterations * settings["sessions"] * settings["steps"])
        trainer.should_stop = self.returns.judged(steps, reached)


class Demonstrated(WorldData):
    """Carts next to demonstrations from a file, in which no pole falls.

    :param path: as :func:`~benchmarks.measure.carts.record` writes it.
    :param control: show as many random steps instead.
    """

    def __init__(self, path: Path, control: bool, iterations: int) -> None:
        held = np.load(path)
        self.held = {key: torch.from_numpy(held[key]) for key in ("observation", "action")}
        sessions, steps = self.held["action"].shape
        super().__init__(
            "CartPole",
            iterations=iterations,
            judging=32,
            demonstrations="random" if control else "oracle",
            demonstration_sessions=sessions,
            demonstration_steps=steps,
            policy=POLICY,
        )

    def make(self, sessions: int, device: torch.device | str = "cpu") -> CartPole:
        """Make so many carts."""
        return CartPole(sessions, scale=SPREAD, device=device)

    def demonstrations(self) -> TensorDict:
        """The transitions of the file."""
        if self.demonstrator == "random":
            return super().demonstrations()
        carts, action = self.held["observation"].flatten(0, 1), self.held["action"]
        simulator = self.make(len(carts))
        state = simulator.reset().update(simulator.seen(carts))
        rows = state.unflatten(0, self.held["observation"].shape[:2])
        found = rows[:, :-1].set(Key.ACTION, 1 + action.unsqueeze(-1))
        return found.set("next", rows[:, 1:]).flatten()


def module_of(variant: str, seed: int) -> PolicyStage:
    """Make the module of a variant."""
    reward = VARIANTS[variant]()
    settings = {**COMMON, "reward": reward, "validation_seed": 1000 + seed}
    if reward.needs_replay:
        return ReplayPolicyModule(2, 2, **settings, **SOFT_Q)
    return PolicyModule(2, 2, **settings, **ON_POLICY)


def measure(cell: Cell) -> dict:
    """Train until the mean return of fresh episodes is at the goal, or the time is up."""
    variant, control = cell["learner"], cell.settings.get("control", False)
    pl.seed_everything(cell.seed, verbose=False)
    goal = GOAL * record(cell.out / "demonstrations.npz")
    course = Course(goal, cell["limit"])
    # Sessions begin anew with an epoch: whole ones, but where a few steps suffice.
    iterations = 2 if variant == "sqil" else 4
    data = Demonstrated(cell.out / "demonstrations.npz", control, iterations)
    trainer = pl.Trainer(max_epochs=200, callbacks=[course], num_sanity_val_steps=0, **TRAINER)
    trainer.fit(module_of(variant, cell.seed), datamodule=data)
    return course.returns.found()
