"""Policies that learn from demonstrations: by no reward at all, or by a discriminator's."""

import pytest
import torch
from lightrec_lab.adversarial import GAIL
from lightrec_lab.imitation import DEMONSTRATED, SQIL, law_of
from lightrec_lab.replay import ReplayPolicyModule
from tensordict import TensorDict

from benchmarks.measure.carts import CartPoleData
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.playing import REWARD, LearnableReward
from tests.learners.training import fit

POLICY = {"pools": 0, "size": 0, "hidden": [64, 64], "horizon": 1_000_000}
SMALL = {"policy": POLICY | {"hidden": [8]}, "sessions": 4, "steps": 8, "batch_size": 32}


def carts(**settings):
    chosen = {"judging": 4, "iterations": 2, "demonstration_sessions": 4, **settings}
    return CartPoleData(**{"max_steps": 20, **chosen})


def small(kind, reward, data=None, epochs=1, folder=None, checkpoint=None, **settings):
    chosen = SMALL | settings
    module, trainer = fit(
        data or carts(), kind, epochs, folder, checkpoint, reward=reward, **chosen
    )
    module.log = lambda *_, **__: None  # tests take steps outside of the training
    return module, trainer


def test_demonstrations_are_worth_1_and_own_steps_0():
    batch = TensorDict({"next": {"terminated": torch.zeros(2, 1, dtype=torch.bool)}}, [2])
    assert SQIL()(batch).tolist() == [[0.0], [0.0]]
    marked = batch.set(DEMONSTRATED, torch.tensor([[1.0], [0.0]]))
    assert SQIL()(marked).tolist() == [[1.0], [0.0]]
    module, _ = small(ReplayPolicyModule, SQIL(), loss="soft-q", warm_up=0)
    half = module._drawn()["next", "reward"].flatten().tolist()
    assert half == [0.0] * 32 + [1.0] * 32


def test_cloning_comes_first_and_then_the_reward_alone():
    reward = GAIL(cloning=300, warm_up=1, updates=2)
    module, _ = small(PolicyModule, reward, carts(iterations=1), learning_rate=1e-2)
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
    module, _ = small(PolicyModule, GAIL(updates=0))
    played, reward = module._play(), module.reward
    own, batches = played["next", "reward"].clone(), reward.spread[0].item()
    assert batches > 0  # the deviation was followed while the module was trained
    assert reward.teach(module, played, 5)
    assert reward.spread[0].item() == pytest.approx(batches + 1)
    seen = reward.seen(module, played.flatten(), own=True)
    logit, paid = reward.logit(seen), played["next", "reward"].flatten()
    assert not torch.equal(paid, own.flatten())
    torch.testing.assert_close(paid, logit * (paid[0] / logit[0]).detach())
    module.write(tmp_path)
    loaded = LearnableReward.load(tmp_path / REWARD)
    assert torch.equal(loaded.learned(seen), reward.learned(seen))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PolicyModule, {"reward": SQIL()}, "SQIL needs a learner that learns from demonstrations"),
        (ReplayPolicyModule, {"reward": SQIL(), "n_step": 2}, "n_step is 2, and SQIL rewards"),
    ],
)
def test_what_does_not_go_together_is_refused(kind, settings, message):
    with pytest.raises(RecipeError, match=message):
        kind(2, 2, **settings)


def test_a_reward_that_learns_needs_somebody_who_demonstrates():
    with pytest.raises(RecipeError, match=r"CartPoleData has none\. Name who demonstrates"):
        small(ReplayPolicyModule, SQIL(), carts(demonstrations=None), loss="soft-q")
