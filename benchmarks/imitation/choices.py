"""AIRL on people's choices in the world `far`: its reward against the true one.

A learner sees 10,000 sessions of 20 logged choices, and stands in the people's place afterwards.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from tensordict import TensorDict
from torch.nn.functional import one_hot, pad

from lightrec.evaluation.truth import spearman_within_sets
from lightrec.keys import Key
from lightrec.learners.imitation.adversarial import AdversarialLearner
from lightrec.learners.imitation.data import ImitationData
from lightrec.learners.imitation.features import CandidateFeatures
from lightrec.learners.imitation.module import ImitationModule
from lightrec.simulators.choice_process import ChoiceProcess, transitions
from lightrec.simulators.worlds.far_log import FarLog, HeldOut

SESSIONS, HELD_OUT, EPOCHS = 10_000, 4_000, 20
SETTINGS: dict[str, Any] = {
    "learner": "airl",
    "learner_settings": {
        "penalty": 0.0,
        "hidden": [64],
        "discount": 0.9,
        "passes": 2,
        "batch_size": 1024,
        "cloning": 1000,
        "warm_up": 40,
        "discriminator_updates": 10,
    },
    "discriminator_settings": {"hidden": [64], "discount": 0.9, "anchored": True},
    "sessions": 512,
    "steps": 16,
    "learning_rate": 7e-4,
    "discriminator_learning_rate": 1e-3,
    "weight_decay": 1e-2,
}


class Truth(Callback):
    """Looks after each epoch how rewards order offers, in seconds that are not counted."""

    def __init__(self, held: HeldOut) -> None:
        self.held = held
        state = {Key.HISTORY: held.history, Key.CANDIDATES: held.candidates}
        self.state = TensorDict(state, [len(held.history)])
        self.spent, self.started = 0.0, time.process_time()
        self.course: list[dict[str, float]] = []

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.spent += time.process_time() - self.started
        learner = pl_module.learner
        assert isinstance(learner, AdversarialLearner)
        policy = learner.logits(self.state)[:, :-1]
        reward = learner.judged.rewards(self.state)[:, :-1]
        found = {"training_cpu_seconds": round(self.spent, 1)}
        found["reward/spearman"] = spearman_within_sets(reward, self.held.reward)
        found["policy/spearman"] = spearman_within_sets(policy, self.held.reward)
        found["policy/spearman_of_value"] = spearman_within_sets(policy, self.held.value)
        self.course.append(found)
        print(found, flush=True)
        self.started = time.process_time()


def main(out: str, seed: str, *options: str) -> None:
    """Imitate, and compare with the truth."""
    torch.set_num_threads(1)
    pl.seed_everything(int(seed), verbose=False)
    world = FarLog(0)
    walk = world.walk(SESSIONS, seed=1 + 10 * int(seed))
    held = world.held_out(HELD_OUT)
    seen = [world.vectors, world.quality.unsqueeze(1), one_hot(world.category, world.CATEGORIES)]
    features = CandidateFeatures(world.ITEMS, 37)
    features.set_items(pad(torch.cat(seen, 1), (0, 0, 1, 0)))
    unlogged = world.UNLOGGED
    history = walk.choices[:, :unlogged]
    shown = transitions(history, walk.offers[:, unlogged:], walk.choices[:, unlogged:], world.ITEMS)

    def make(sessions: int, device: torch.device | str = "cpu") -> ChoiceProcess:
        return ChoiceProcess(
            world.ITEMS,
            sessions,
            history,
            offer_size=world.OFFER,
            max_steps=world.LOGGED,
            device=device,
        )

    control = "--control" in options
    data = ImitationData(make, features, shown, iterations=20, control=control)
    truth = Truth(held)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[truth],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(ImitationModule(**SETTINGS), datamodule=data)
    Path(out).write_text(json.dumps(truth.course[-1] | {"course": truth.course}))


if __name__ == "__main__":
    main(*sys.argv[1:])
