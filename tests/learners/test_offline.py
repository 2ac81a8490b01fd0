"""Policies learned from a log: what is learned of it, and what is refused."""

import pytest
import torch
from lightrec_worlds.world_data import WorldData

from lightrec.errors import RecipeError
from lightrec.learners.offline import OfflinePolicyModule
from tests.learners.arms import BEST, ArmsData
from tests.learners.stages import OFFLINE, one_a_family
from tests.learners.training import fit

OFFERS = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 6}
SMALL = {"updates": 2, "batch_size": 32}
OWN = {"sa2c": {"warm_up": 4}, "reinforce-top-k": {"top_k": 2}}
"""Settings of losses."""
FIT = {"updates": 40, "batch_size": 128, "learning_rate": 0.02, "tau": 0.1}


def world_data(world="Greed", settings=None, **more):
    return WorldData(world, settings, **{"iterations": 3, "judging": 4, "behavior": {}, **more})


class LoggedArms(ArmsData):
    """Sessions of one step, of which there is a log."""

    appeal = torch.linspace(-1, 1, 9)

    def __init__(self, behavior):
        super().__init__()
        self.behavior, self.logged_sessions, self.seed = behavior, 1500, 0

    def make(self, sessions, device="cpu"):
        world = super().make(sessions, device)
        world.appeal = self.appeal
        return world


@pytest.mark.slow
@pytest.mark.parametrize("loss", one_a_family(sorted(OFFLINE.keys() - {"bc", "snqn"}), "iql"))
def test_every_learner_finds_the_best_arm_in_a_log_of_random_ones(loss):
    policy = {"size": 0, "hidden": [8]}
    settings = {"warm_up": 100} if loss == "sa2c" else OWN.get(loss)
    how = {"loss": loss, "loss_settings": settings, "policy": policy, **FIT}
    _, trainer = fit(LoggedArms({}), OfflinePolicyModule, 2, **how)
    assert trainer.callback_metrics["validation/return"] == pytest.approx(BEST)


def test_transitions_over_several_steps_end_with_their_session():
    data = world_data(logged_sessions=6, settings={"max_steps": 4}, seed=1)
    settings = {"loss": "bc", "policy": {"size": 2, "hidden": [8]}, **SMALL}
    module, _ = fit(data, OfflinePolicyModule, 0, n_step=40, discount=0.5, **settings)
    log, rows = data.log(), module.transitions
    reward, done = log["next", "reward"].squeeze(1), log["next", "done"].squeeze(1)
    total, later = torch.zeros(len(log)), 0.0
    for step in reversed(range(len(log))):
        later = reward[step] + (0.0 if done[step] else 0.5 * later)
        total[step] = later
    torch.testing.assert_close(rows["next", "reward"].squeeze(1), total)
    assert rows["next", "done"].all()
    assert torch.equal(rows["next", "terminated"][done], log["next", "terminated"][done])


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ({}, {"loss": "return-conditioned", "n_step": 5}, r"n_step is 5, in which .* at most: 6"),
        ({}, {"loss": "reinforce-top-k"}, r"top_k is None\. Name under loss_settings how many"),
        ({"behavior": None}, {}, r"learned from a log, and WorldData has none"),
    ],
)
def test_what_is_missing_is_told(given, settings, message):
    data = world_data("LongTermSatisfaction", dict(OFFERS), logged_sessions=5, **given)
    with pytest.raises(RecipeError, match=message):
        fit(data, OfflinePolicyModule, 1, **settings, **SMALL)
