"""Policies that learn from demonstrations: by no reward at all, or by a discriminator's.

Rewards by a discriminator alone, too: closed forms, signs, penalties.
"""

import math

import pytest
import torch
from lightrec_lab.adversarial import AIRL, GAIL
from lightrec_lab.imitation import DEMONSTRATED, SQIL, law_of
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.playing import REWARD, LearnableReward
from lightrec.learners.transitions import FEATURES
from tests.learners.training import fit

WORLD = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 6, "sensitivity": 0.0}
"""Chocolate pleases most, whatever came before: what an oracle shows soon differs from items."""


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


TWO = torch.eye(3)[:, 1:]
"""Vectors of two items."""


def transitions(features, items, following, ended):
    rows = len(features)
    after = {FEATURES: following, "terminated": torch.tensor(ended).unsqueeze(1)}
    action = torch.tensor(items).view(rows, -1)
    state = {FEATURES: features, Key.ACTION: action, "next": TensorDict(after, [rows])}
    return TensorDict(state, [rows])


def test_airl_is_reward_potential_and_policy():
    """f = g + γ h(s') - h(s), h being 0 after an end; by hand."""
    reward = AIRL(0.9, hidden=[]).fitted_to(1, TWO, 1)
    reward.vectors.copy_(TWO)
    with torch.no_grad():
        tower = reward.discriminator["choice"][0]
        tower.weight.copy_(torch.tensor([[1.0, 9], [2, 9], [0.5, 9]]))
        tower.bias.copy_(torch.tensor([0.1, 0.2, 0.0]))
        potential = reward.discriminator["potential"][0]
        potential.weight.copy_(torch.tensor([[3.0, 9]]))
        potential.bias.fill_(1.0)
    reward.end_iteration(waiting=True)
    two, four = torch.full((2, 1), 2.0), torch.full((2, 1), 4.0)
    batch = transitions(two, [1, 2], four, [False, True])
    batch[Key.LOG_PROBABILITY] = torch.tensor([0.25, 0.5]).log()
    g = torch.tensor([1 * 2 + 0.1 + 0.5 * 2, 2 * 2 + 0.2 + 0.5 * 2])
    f = g + torch.tensor([0.9 * 13 - 7, -7])
    torch.testing.assert_close(reward.learned(batch), g)
    torch.testing.assert_close(reward.logit(batch), f - batch[Key.LOG_PROBABILITY])
    # D = exp f / (exp f + π) is the sigmoid of that.
    d = f.exp() / (f.exp() + torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(reward.logit(batch).sigmoid(), d)


def test_absorbing_states_are_all_alike():
    reward = GAIL().fitted_to(3, TWO, 1)
    features, following = torch.randn(2, 4, 3)
    batch = transitions(features, [1, 2, 2, 1], following, [False, True, False, False])
    over = torch.tensor([[True], [False]]).repeat(2, 1)
    batch[Key.ABSORBING] = batch["next", Key.ABSORBING] = over
    logits = reward.logit(batch)
    assert logits[0] == logits[2]
    assert logits[1] != logits[3]
    assert torch.equal(reward.states(batch)[0], torch.tensor([0.0, 0, 0, 1]))


def linear(weight, bias):
    """A GAIL of one feature x, whatever is shown: logit = w · x + b."""
    reward = GAIL(hidden=[], penalty=0.0).fitted_to(1, TWO, 1)
    with torch.no_grad():
        for parameter in reward.discriminator["choice"].parameters():
            parameter.zero_()
        reward.discriminator["choice"][0].weight[-1, 0] = weight
        reward.discriminator["choice"][0].bias[-1] = bias
    return reward


def at(*values):
    features = torch.tensor(values).unsqueeze(1)
    return transitions(features, [1] * len(values), features, [False] * len(values))


def test_penalty_of_a_linear_score_is_that_of_its_slope():
    reward = linear(3.0, 0.0)
    assert reward.gradient_penalty(at(1.0, 2.0), at(5.0, -1.0)).item() == pytest.approx(4.0)
    reward.penalty = 10.0
    assert reward.losses(at(1.0), at(5.0))["loss_penalty"].item() == pytest.approx(40.0)


def test_rewards_are_divided_by_their_spread_and_nothing_is_taken_off():
    reward = linear(1.0, 0.0)
    first = reward(at(1.0, 3.0))
    torch.testing.assert_close(first, torch.tensor([[1.0], [3.0]]))  # their deviation is 1
    # Means 2 and 6, mean squares 5 and 40: the mixture's variance is 22.5 - 16.
    second = reward(at(4.0, 8.0))
    torch.testing.assert_close(second, torch.tensor([[4.0], [8.0]]) / math.sqrt(22.5 - 16))
    assert not first.requires_grad
    again = reward.eval()(at(4.0))  # and in evaluation by what was seen in training
    torch.testing.assert_close(again, torch.tensor([[4.0]]) / math.sqrt(22.5 - 16))
