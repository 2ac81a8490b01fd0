"""Both modules in a game of Gymnasium: what is cut is bootstrapped, what ended is not."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch

from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.replay import ReplayPolicyModule
from lightrec.learners.world_data import WorldData
from lightrec.policies.tower import TowerPolicy

SCALE = [2.4, 2.0, 0.2, 2.0]
LIMIT = 12
"""Steps after which games are cut; most poles fall later, some before."""


@pytest.fixture(scope="module")
def data():
    game = {"name": "CartPole-v1", "scale": SCALE, "settings": {"max_episode_steps": LIMIT}}
    own = partial(TowerPolicy, pools=0, size=0, hidden=[8], horizon=1000)
    return WorldData("DiscreteGymnasium", game, iterations=2, judging=4, policy=own)


def fitted(module, data, folder):
    torch.manual_seed(0)
    quiet = {"logger": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    pl.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(module, data)
    return module, module.write(folder)


def test_items_are_actions(data):
    assert data.num_items == data.vector_size == 2
    assert data.vectors.tolist() == [[0, 0], [1, 0], [0, 1]]
    policy = data.make_policy()
    assert policy.feature_size == 4 + 2
    # Centred and scaled, the actions are opposites: what is added to both scores is the critic's.
    assert policy.item_table()[1:].tolist() == [[1, -1], [-1, 1]]


def test_on_policy_targets(data, tmp_path):
    games = {"sessions": 8, "steps": 30, "batch_size": 64}
    module = PolicyModule(2, 2, discount=0.9, gae_lambda=0.0, **games)
    module, metrics = fitted(module, data, tmp_path)
    ground = module.ground
    assert metrics["train/environment_steps"] == ground.train.environment_steps == 2 * 8 * 30
    assert metrics["validation/environment_steps"] == ground.judging.environment_steps
    assert metrics["validation/length"] == metrics["validation/return"] <= LIMIT
    last = module.critic[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 7)
    rollout = module._estimate(module._play())
    ended = rollout["next", "terminated"]
    assert ended.any()
    assert (rollout["next", "done"] & ~ended).any()
    torch.testing.assert_close(rollout["value_target"], 1 + 0.9 * 7 * (~ended).float())


def test_transitions_of_cut_games_lead_to_their_last_observation(data, tmp_path):
    games = {"sessions": 8, "steps": 30, "updates": 2, "batch_size": 32, "warm_up": 100}
    module = ReplayPolicyModule(2, 2, "double-dqn", **games)
    module, metrics = fitted(module, data, tmp_path)
    assert metrics["train/environment_steps"] == module.ground.train.environment_steps == 480
    kept = module.buffer[:]
    assert len(kept) == 480
    following = kept["next"]
    cut = (following["done"] & ~following["terminated"]).squeeze(1)
    assert cut.any()
    assert (following[Key.STEP][cut] == LIMIT).all()
    assert (following[Key.STEP] == kept[Key.STEP] + 1).all()
    # Carts move by .02 seconds of their velocity, those whose game was cut too.
    scale = torch.tensor(SCALE)
    place, speed = (kept[Key.OBSERVATION] * scale)[:, :2].unbind(1)
    moved = (following[Key.OBSERVATION] * scale)[:, 0]
    torch.testing.assert_close(moved, place + 0.02 * speed)
    assert module.ground.judging.max_steps == LIMIT
