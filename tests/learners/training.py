"""A short training of a module, as the pipeline would do it, and users whose best arm is known."""

from functools import partial

import lightning.pytorch as pl
import polars
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightrec import plugins
from lightrec.data.domain import Domain
from lightrec.learners.policy_data import PolicyData
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.ranker import Ranker
from lightrec.rewards.accepted import EngagementReward
from tests.simulators.tastes import fixed_tastes
from tests.users.stores import prepared

ON_POLICY, OFFLINE, REPLAY = (
    {name: part.load() for name, part in plugins.installed().parts.get(slot, {}).items()}
    for slot in ("learners", "offline_learners", "replay_learners")
)
"""Learners by their names; lightrec alone has none from a replay buffer."""
N = 8
CHANCES = torch.tensor([0.1, 0.2, 0.1, 0.9, 0.2, 0.1, 0.2, 0.1])
BEST = 0.9
FIRST = "epoch=0.ckpt"
QUIET = {
    "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
    "enable_model_summary": False, "num_sanity_val_steps": 0,
}  # fmt: skip
"""Settings of a trainer that says and keeps nothing."""


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
    usual = {"reward": EngagementReward(), "max_steps": 4, "iterations": 2, "held_out": 8}
    made = partial(CandidatePolicy, **{"size": 4, **(policy or {})})
    return PolicyData(**{**folders, **usual, "policy": made, **settings})


class Again(Domain):
    """Items come again, so that sessions never run out of them."""

    repeats = True


def bandit_run(folder):
    """A prepared log of 30 users, a ranker that knows nothing, users with known tastes."""
    events = [(f"{u}", f"{1 + (u + k) % N}", k) for u in range(30) for k in range(5)]
    log = polars.DataFrame(events, schema=["user", "item", "time"], orient="row")
    store = prepared(log, folder / "data", domain=Again(), k_core=1)
    torch.manual_seed(0)
    ranker = Ranker(store.num_items, size=8)
    torch.nn.init.normal_(ranker.items.ids)
    ranker.save_pretrained(folder / "ranker")
    numbers = torch.tensor([int(item) for item in store.catalog["item"]])
    fixed_tastes(CHANCES[numbers - 1]).save_pretrained(folder / "users_a")
    return folder


def one_arm(run, iterations=8):
    """Sessions of one step in the fixture ``bandit``, for a policy that knows nothing at first."""
    policy = {"size": 8, "inverse_temperature": 0.2, "use_utilities": False}
    return policy_data(run, policy, max_steps=1, iterations=iterations)


def one_a_family(names, *shown):
    """Names to be tried, all but those shown left to whoever tests everything."""
    return [pytest.param(n, marks=[] if n in shown else pytest.mark.slow) for n in names]
