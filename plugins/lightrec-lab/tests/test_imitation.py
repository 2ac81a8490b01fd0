"""Policies that learn from demonstrations: by no reward at all, or by a discriminator's."""

import pytest
import torch
from lightrec_lab.adversarial import GAIL
from lightrec_lab.imitation import DEMONSTRATED, SQIL, law_of
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.playing import REWARD, LearnableReward
from tests.learners.training import fit

WORLD = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 6, "sensitivity": 0.0}
"""Chocolate pleases most, whatever came before: what an oracle shows is soon told from items."""


def small(kind, reward, iterations=2, demonstrations="oracle", **settings):
    """A module of a kind after an epoch, shown four sessions of a world."""
    shown = {"demonstrations": demonstrations, "demonstration_sessions": 4, "judging": 4}
    data = WorldData("LongTermSatisfaction", WORLD, iterations, **shown)
    chosen = {"policy": {"size": 0, "hidden": [8]}, "sessions": 4, "steps": 8, "batch_size": 32}
    module, _ = fit(data, kind, 1, reward=reward, **chosen | settings)
    module.log = lambda *_, **__: None  # tests take steps outside of the training
    return module


def test_demonstrations_are_worth_1_and_own_steps_0():
    batch = TensorDict({"next": {"terminated": torch.zeros(2, 1, dtype=torch.bool)}}, [2])
    assert SQIL()(batch).tolist() == [[0.0], [0.0]]
    marked = batch.set(DEMONSTRATED, torch.tensor([[1.0], [0.0]]))
    assert SQIL()(marked).tolist() == [[1.0], [0.0]]
    module = small(ReplayPolicyModule, SQIL(), loss="soft-q", warm_up=0)
    half = module._drawn()["next", "reward"].flatten().tolist()
    assert half == [0.0] * 32 + [1.0] * 32


def test_cloning_comes_first_and_then_the_reward_alone():
    reward = GAIL(cloning=300, warm_up=1, updates=2)
    module = small(PolicyModule, reward, iterations=1, learning_rate=1e-2)
    reward, shown = module.reward, module.reward.demonstrations
    right = law_of(module, shown.copy()).mode == shown[Key.ACTION]
    assert right.float().mean() > 0.95
    rows = reward.seen(module, shown[:4])
    before = reward.learned(rows)
    module.trainer.fit_loop.epoch_progress.reset()
    for index, learns in ((1, False), (2, True)):
        assert reward.teach(module, module._play(), index) == learns
        # While the policy waits the discriminator is judged as it is, then as an average.
        assert torch.equal(reward.learned(rows), reward.logit(rows)) != learns
        assert not torch.equal(reward.learned(rows), before)


def test_the_policy_is_paid_what_the_reward_says_and_the_reward_is_left_with_it(tmp_path):
    module = small(PolicyModule, GAIL(updates=0))
    played, reward = module._play(), module.reward
    before, batches = played["next", "reward"].clone(), reward.spread[0].item()
    assert batches > 0  # the deviation was followed while the module was trained
    assert reward.teach(module, played, 5)
    assert reward.spread[0].item() == pytest.approx(batches + 1)
    seen = reward.seen(module, played.flatten(), played=True)
    logit, paid = reward.logit(seen), played["next", "reward"].flatten()
    assert not torch.equal(paid, before.flatten())
    torch.testing.assert_close(paid, logit * (paid[0] / logit[0]).detach())
    module.write(tmp_path)
    loaded = LearnableReward.load(tmp_path / REWARD)
    assert torch.equal(loaded.learned(seen), reward.learned(seen))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(RecipeError, match="SQIL needs a learner that learns from demonstrations"):
        PolicyModule(2, 2, reward=SQIL())
    with pytest.raises(RecipeError, match="n_step is 2, and SQIL rewards"):
        ReplayPolicyModule(2, 2, reward=SQIL(), n_step=2)
    with pytest.raises(RecipeError, match=r"WorldData has none\. Name who demonstrates"):
        small(ReplayPolicyModule, SQIL(), demonstrations=None, loss="soft-q")
