"""Policies learned from a log: what is learned of it, and what is refused."""

import pytest
import torch

from lightrec.keys import Key
from lightrec.learners.offline import OfflinePolicyModule
from tests.learners.training import BEST, fit, one_a_family, one_arm, policy_data


@pytest.mark.slow
@pytest.mark.parametrize("loss", one_a_family(["reward-weighted", "iql"], "iql"))
def test_a_learner_finds_the_best_arm_in_a_log_of_random_ones(bandit, loss):
    data = one_arm(bandit)
    world = data.playground(1500, 1.0, torch.device("cpu")).train
    log = world.step(world.rand_action(world.reset()))
    data.log = lambda: log
    how = {"updates": 40, "batch_size": 128, "learning_rate": 0.02, "tau": 0.1}
    _, trainer = fit(data, OfflinePolicyModule, 2, loss=loss, **how)
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


def test_transitions_over_several_steps_end_with_their_session(bandit):
    data = policy_data(bandit)
    how = {"loss": "bc", "updates": 2, "batch_size": 32, "n_step": 40, "discount": 0.5}
    module, _ = fit(data, OfflinePolicyModule, 0, **how)
    log, rows = data.log(), module.transitions
    reward, done = log["next", "reward"].squeeze(1), log["next", "done"].squeeze(1)
    assert log[Key.STEP].max() > 1
    total, later = torch.zeros(len(log)), 0.0
    for step in reversed(range(len(log))):
        later = reward[step] + (0.0 if done[step] else 0.5 * later)
        total[step] = later
    torch.testing.assert_close(rows["next", "reward"].squeeze(1), total)
    assert rows["next", "done"].all()
    assert torch.equal(rows["next", "terminated"][done], log["next", "terminated"][done])
