"""A short training of a module, as the pipeline would do it."""

from functools import partial

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightrec.learners.policy_data import PolicyData
from lightrec.policies.candidate import CandidatePolicy
from lightrec.rewards.accepted import EngagementReward

FIRST = "epoch=0.ckpt"
QUIET = {
    "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "num_sanity_val_steps": 0,
}  # fmt: skip
"""Of a trainer that says and keeps nothing."""


class EpochSeed(pl.Callback):
    """What the pipeline does, so that epochs can be resumed."""

    def on_train_epoch_start(self, trainer, pl_module):
        torch.manual_seed(100 + trainer.current_epoch)


def train(module, data, epochs, folder=None, checkpoint=None, callbacks=(), **settings):
    """Train, keep each epoch's checkpoint where a folder is given; give module and trainer."""
    kept = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=[EpochSeed(), *kept, *callbacks],
        **{**QUIET, "accelerator": "cpu", "enable_checkpointing": bool(kept), **settings},
    )
    torch.manual_seed(1)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return module, trainer


def resumed(fit, folder):
    """Train two epochs, and the second of them again from the first one's checkpoint.

    :param fit: from epochs, folder and checkpoint to module and trainer.
    :returns: the module of both epochs and the one that was resumed, of the same weights.
    """
    whole, _ = fit(2, folder)
    first = torch.load(folder / FIRST, weights_only=True)["state_dict"]
    later, _ = fit(2, None, folder / FIRST)
    assert any(not torch.equal(value, first[name]) for name, value in whole.state_dict().items())
    for name, value in whole.state_dict().items():
        assert torch.equal(value, later.state_dict()[name]), name
    return whole, later


def fit(data, kind, epochs, folder=None, checkpoint=None, policy=None, **settings):
    """Make a module of a kind for the data, and train it.

    :param policy: settings of the data's policy.
    """
    if policy is not None:
        data.policy = partial(data.policy, **policy)
    module = kind(data.num_items, data.vector_size, **settings)
    return train(module, data, epochs, folder, checkpoint)


def policy_data(run, policy=None, **settings):
    """Make the data of policies in the user models of the fixture ``bandit``.

    :param policy: settings of the policy.
    """
    folders = {name: str(run / name) for name in ("data", "ranker", "users_a")}
    own = {"reward": EngagementReward(), "max_steps": 4, "iterations": 2, "held_out": 8}
    made = partial(CandidatePolicy, **{"size": 4, **(policy or {})})
    return PolicyData(**{**folders, **own, "policy": made, **settings})
