"""Policies learned from a replay buffer: they find the best arm, and keep what was played."""

import pytest
import torch
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_worlds.world_data import WorldData

from lightrec.errors import PluginError, RecipeError
from lightrec.keys import Key
from lightrec.learners.offline import OfflinePolicyModule
from lightrec.simulators.rollout import UserMemory
from tests.learners.training import BEST, REPLAY, fit, one_arm

SMALL = {
    "sessions": 16, "steps": 4, "updates": 2, "batch_size": 32, "warm_up": 64, "capacity": 500,
}  # fmt: skip


def test_a_package_adds_a_learner_from_the_replay_buffer(lightrec_plugins):
    lightrec_plugins.add("lab", "from lightrec_lab.hooks import *")
    hooks = 'lightrec_replay_learners = hookimpl(lambda: {"mine": "lightrec_lab.replay:SoftQ"})'
    lightrec_plugins.add("mine", hooks)
    assert ReplayPolicyModule(4, 3, loss="mine")._kind is REPLAY["soft-q"]
    with pytest.raises(PluginError, match="no 'ppo' among the replay_learners"):
        _ = ReplayPolicyModule(4, 3, loss="ppo")._kind


def test_the_best_arm_is_found(bandit):
    _, trainer = fit(
        one_arm(bandit, iterations=6),
        ReplayPolicyModule,
        2,
        **SMALL | {"sessions": 32, "updates": 8, "batch_size": 64, "capacity": 2000},
        learning_rate=0.02,
        tau=0.1,
    )
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


def test_transitions_are_what_was_played():
    """Masks of the next state, columns accepted, and ends are those of the simulator."""
    data = WorldData("Greed", {"max_steps": 5}, iterations=1, judging=4)
    policy = {"size": 2, "hidden": [8]}
    module, _ = fit(data, ReplayPolicyModule, 1, policy=policy, **SMALL | {"steps": 8})
    torch.manual_seed(3)
    world = module.ground.train
    module._state = world.reset()
    module._memory = UserMemory(module.policy.user_vectors)
    real, steps = world.step_and_maybe_reset, []

    def record(state):
        played, after = real(state)
        steps.append(played.clone())
        return played, after

    world.step_and_maybe_reset = record
    rows = module._whole(module._transitions(module._play()))
    played = torch.stack(steps, 1).flatten()
    following = played["next"]
    for key in (Key.MASK, "terminated", "reward", Key.OBSERVATION):
        assert torch.equal(rows["next", key], following[key]), key
    assert following["truncated"].any()
    clicked = (played[Key.ACTION] * following[Key.TAKEN]).sum(1)
    column = rows["clicked_column"].squeeze(1)
    assert torch.equal(column.clamp_min(0), clicked)
    assert torch.equal(column == -1, clicked == 0)


def test_soft_values_are_those_of_the_law_that_acts():
    """V = τ log Σ exp(Q / τ), and the law is exp((Q - V) / τ)."""
    how = {"policy": {"size": 2, "hidden": [8]}}
    data = WorldData("Greed", iterations=1, judging=4)
    module, _ = fit(data, ReplayPolicyModule, 1, **how | SMALL)
    rows, temperature = module._whole(module.buffer[:8]), 0.1
    with torch.no_grad():
        loss = module.learner.loss
        values, soft = loss.values(loss.networks, rows)
        law = module.policy.columns(rows).logits.softmax(1)
    values, soft = values / temperature, soft.unsqueeze(1) / temperature
    torch.testing.assert_close(soft, values.logsumexp(1, keepdim=True))
    torch.testing.assert_close(law, (values - soft).exp())


@pytest.mark.parametrize(
    ("places", "settings", "message"),
    [
        (2, {}, r"values single items, and the slates have 2 places"),
        (1, {"loss_settings": {"x": 1}}, r"cannot be built with loss_settings"),
    ],
)
def test_settings_that_cannot_be(places, settings, message):
    data = WorldData("Greed", {"slate_size": places}, iterations=1, judging=4)
    with pytest.raises(RecipeError, match=message):
        fit(data, ReplayPolicyModule, 1, **SMALL, **settings)


def test_a_policy_from_a_log_needs_one():
    data = WorldData("LongTermSatisfaction", {"max_steps": 6}, iterations=3, judging=4)
    with pytest.raises(RecipeError, match=r"learned from a log, and WorldData has none"):
        fit(data, OfflinePolicyModule, 1, updates=2, batch_size=32)
