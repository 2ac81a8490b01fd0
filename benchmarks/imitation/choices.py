"""AIRL on people's choices in the world `far`: its reward against the true one.

A learner sees 10,000 sessions of 20 logged choices, and stands in the people's place afterwards.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightrec_lab.adversarial import AIRL, AdversarialReward
from lightrec_lab.choice_process import ChoiceProcess, transitions
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.evaluation.user_models import spearman_within_sets
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.world_data import WorldData
from lightrec.policies.tower import TowerPolicy
from lightrec.simulators.worlds.far_log import FarLog, HeldOut

SESSIONS, HELD_OUT, EPOCHS = 10_000, 4_000, 20
REWARD: dict[str, Any] = {
    "discount": 0.9,
    "hidden": [64],
    "identity_size": 8,
    "penalty": 0.0,
    "updates": 10,
    "learning_rate": 1e-3,
    "weight_decay": 1e-2,
    "cloning": 1000,
    "warm_up": 40,
}
SETTINGS: dict[str, Any] = {
    "critic_hidden": [64],
    "sessions": 512,
    "steps": 16,
    "passes": 2,
    "batch_size": 1024,
    "discount": 0.9,
    "gae_lambda": 0.95,
    "learning_rate": 7e-4,
}


class Choices(WorldData):
    """What 10,000 people chose in `far`, and their place for the learner to take.

    :param seed: of the people.
    :param control: show as many random choices.
    """

    def __init__(self, seed: int, control: bool = False) -> None:
        shown = {"demonstration_sessions": 9500, "demonstration_steps": FarLog.LOGGED}
        own = partial(TowerPolicy, pools=4, size=16, hidden=[64])
        by = "random" if control else None
        super().__init__("ChoiceProcess", None, 20, 1, None, by, policy=own, **shown)
        self.far = FarLog(0)
        self.walk = self.far.walk(SESSIONS, seed=1 + 10 * seed)
        self.history = self.walk.choices[:, : self.far.UNLOGGED]

    @property
    def vectors(self) -> Tensor:
        """What is seen of items, and a number that marks nothing."""
        seen = [self.far.vectors, self.far.quality.unsqueeze(1)]
        seen.append(one_hot(self.far.category, self.far.CATEGORIES))
        items = pad(torch.cat(seen, 1), (0, 1, 1, 1))
        items[-1, -1] = 1
        return items

    def make(self, sessions: int, device: torch.device | str = "cpu") -> ChoiceProcess:
        """Make the process."""
        return ChoiceProcess(
            self.far.ITEMS,
            sessions,
            self.history,
            offer_size=self.far.OFFER,
            max_steps=self.far.LOGGED,
            device=device,
        )

    def demonstrations(self) -> TensorDict:
        """Give the logged choices."""
        if self.demonstrator is not None:
            return super().demonstrations()
        offers, chosen = (
            part[:, self.far.UNLOGGED :] for part in (self.walk.offers, self.walk.choices)
        )
        return transitions(self.history, offers, chosen, self.far.ITEMS).flatten()


class Truth(Callback):
    """Looks after each epoch how rewards order offers, in seconds that are not counted."""

    def __init__(self, held: HeldOut) -> None:
        self.held = held
        count = len(held.history)
        state = {
            Key.HISTORY: held.history,
            Key.CANDIDATES: held.candidates,
            Key.STEP: torch.zeros(count, 1, dtype=torch.int64),
            Key.ACCEPTED_TOTAL: torch.zeros(count, 1),
        }
        self.state = TensorDict(state, [count])
        self.spent, self.started = 0.0, time.process_time()
        self.course: list[dict[str, float]] = []

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.spent += time.process_time() - self.started
        assert isinstance(pl_module, PolicyModule)
        assert isinstance(pl_module.reward, AdversarialReward)
        state = pl_module.see(self.state.copy())
        policy = pl_module.policy.logits(state)
        ended = torch.zeros(len(state), 1, dtype=torch.bool)
        state["next"] = state.copy().set("terminated", ended)
        offered = self.held.candidates.split(1, 1)
        rewards = [pl_module.reward.learned(state.set(Key.ACTION, item)) for item in offered]
        reward = torch.stack(rewards, 1)
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
    data = Choices(int(seed), "--control" in options)
    held = data.far.held_out(HELD_OUT)
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
    reward = AIRL(anchor=data.num_items, **REWARD)
    module = PolicyModule(data.num_items, data.vector_size, reward=reward, **SETTINGS)
    trainer.fit(module, datamodule=data)
    Path(out).write_text(json.dumps(truth.course[-1] | {"course": truth.course}))


if __name__ == "__main__":
    main(*sys.argv[1:])
