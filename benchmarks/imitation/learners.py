"""lightrec's learners in CartPole: one process a cell, one thread, evaluations not counted."""

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.imitation.data import ImitationData
from lightrec.learners.imitation.features import VectorFeatures
from lightrec.learners.imitation.module import ImitationModule
from lightrec.simulators.absorbing import Absorbing
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.worlds.cart_pole import CartPole

DISCOUNT = 0.95
VARIANTS: dict[str, dict[str, Any]] = {
    "gail": {"learner": "gail"},
    "airl": {"learner": "airl", "discriminator_settings": {"discount": DISCOUNT}},
    "airl-state-only": {
        "learner": "airl",
        "discriminator_settings": {"discount": DISCOUNT, "state_only": True},
    },
    "airl-unshaped": {"learner": "airl", "discriminator_settings": {"shaping": False}},
    "sqil": {"learner": "sqil"},
}
FORMS: dict[str, dict[str, Any]] = {
    form: {"learner": "gail", "learner_settings": {"reward_form": form}}
    for form in ("positive", "negative", "logit")
}
"""GAIL's rewards by their sign, for sessions that end where the pole falls."""
VARIANTS_AND_FORMS = VARIANTS | FORMS


class Course(Callback):
    """Counts the seconds of training alone, and stops at the goal or the end of the time."""

    def __init__(self, goal: float, limit: float) -> None:
        self.goal, self.limit = goal, limit
        self.spent = 0.0
        self.course: list[tuple[float, int, float]] = []
        self.started = time.process_time()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.spent += time.process_time() - self.started

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        reached = float(trainer.callback_metrics["validation/return"])
        settings = pl_module.hparams
        iterations = (trainer.current_epoch + 1) * trainer.num_training_batches
        steps = int(iterations * settings["sessions"] * settings["steps"])
        self.course.append((round(self.spent, 2), steps, round(reached, 1)))
        print(*self.course[-1], flush=True)
        trainer.should_stop = reached >= self.goal or self.spent >= self.limit
        self.started = time.process_time()


def world(ending: str, sessions: int, device: torch.device | str = "cpu") -> SessionEnv:
    """Give carts whose sessions have one length, end by a fall, or are played on after it."""
    if ending == "fixed":
        return CartPole(sessions, device=device)
    ended = CartPole(sessions, ending="leave", device=device)
    return Absorbing(ended) if ending == "absorbing" else ended


def load(path: Path, control: bool, ending: str) -> ImitationData:
    """Give the demonstrations, in which no pole falls, beside the simulator."""
    held = np.load(path)
    observation, action = (torch.from_numpy(held[key]) for key in ("observation", "action"))
    following = {
        Key.OBSERVATION: observation[:, 1:],
        "terminated": torch.zeros(*action.shape, 1, dtype=torch.bool),
    }
    shown = TensorDict(
        {
            Key.OBSERVATION: observation[:, :-1],
            Key.ACTION: action.unsqueeze(-1),
            "next": TensorDict(following, batch_size=action.shape),
        },
        batch_size=action.shape,
    )
    absorbing = ending == "absorbing"
    if absorbing:
        shown[Key.ABSORBING] = shown["next", Key.ABSORBING] = shown["next", "terminated"]
    features = VectorFeatures(4, 2, absorbing=absorbing).fit(observation)
    return ImitationData(partial(world, ending), features, shown, control=control)


def main(
    variant: str, demonstrations: str, out: str, seed: str, goal: str, limit: str, *options: str
) -> None:
    """Train until the mean return of fresh episodes is at the goal, or the time is up."""
    torch.set_num_threads(1)
    pl.seed_everything(int(seed), verbose=False)
    course = Course(float(goal), float(limit))
    ending = options[options.index("--ending") + 1] if "--ending" in options else "fixed"
    data = load(Path(demonstrations), "--control" in options, ending)
    trainer = pl.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        callbacks=[course],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    module = ImitationModule(**VARIANTS_AND_FORMS[variant], validation_seed=1000 + int(seed))
    trainer.fit(module, datamodule=data)
    seconds, steps, reached = course.course[-1]
    found = {
        "training_cpu_seconds": seconds if reached >= course.goal else None,
        "stopped_after_cpu_seconds": seconds,
        "steps": steps,
        "return": reached,
        "best_return": max(row[2] for row in course.course),
        "course": course.course,
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
