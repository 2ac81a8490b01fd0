import math

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.imitation.adversarial_losses import discriminator_loss
from lightrec.learners.imitation.discriminators import AIRLDiscriminator, GAILDiscriminator
from lightrec.learners.imitation.features import CandidateFeatures, VectorFeatures
from tests.learners.imitation.transitions import random_transitions, transitions

EXPERT = torch.tensor([[1, 7], [3, 5]])
POLICY = torch.tensor([[8, 2], [2, 4]])
"""How often each of two actions was taken in each of two states."""


def counted(counts):
    state, action = torch.tensor([(s, a) for s in (0, 1) for a in (0, 1)]).T
    times = counts.flatten()
    state, action = state.repeat_interleave(times), action.repeat_interleave(times)
    observation = torch.eye(2)[state]
    rows = transitions(observation, action.tolist(), observation, [False] * len(state))
    chance = POLICY / POLICY.sum(1, keepdim=True)
    return rows.set(Key.LOG_PROBABILITY, chance[state, action].log())


def fitted(discriminator):
    expert, policy = counted(EXPERT), counted(POLICY)
    optimizer = torch.optim.LBFGS(
        discriminator.parameters(), max_iter=400, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = discriminator_loss(discriminator, expert, policy)["loss_discriminator"]
        loss.backward()
        return loss

    optimizer.step(closure)
    each = counted(torch.ones(2, 2, dtype=torch.int64))
    return discriminator, each


RATIO = (EXPERT / EXPERT.sum()).log() - (POLICY / POLICY.sum()).log()


def test_the_best_logit_is_the_log_ratio_of_the_densities():
    torch.manual_seed(0)
    discriminator, each = fitted(GAILDiscriminator(VectorFeatures(2, 2), [8]))
    torch.testing.assert_close(
        discriminator.logit(each).view(2, 2), RATIO, atol=2e-3, rtol=0, check_dtype=False
    )
    torch.testing.assert_close(discriminator.reward(each), discriminator.logit(each))


@pytest.mark.parametrize("shaping", [True, False])
def test_airl_takes_the_policy_off(shaping):
    torch.manual_seed(0)
    judge = AIRLDiscriminator(VectorFeatures(2, 2), [8], shaping=shaping, discount=0.5)
    judge, each = fitted(judge)
    torch.testing.assert_close(judge.logit(each).view(2, 2), RATIO, atol=2e-3, rtol=0)
    f = judge.score(*judge.inputs(each)).view(2, 2)
    # At its best f is the expert's log-policy, up to what states' densities leave.
    log_policy = (POLICY / POLICY.sum(1, keepdim=True)).log()
    torch.testing.assert_close(f, RATIO + log_policy, atol=2e-3, rtol=0)
    expert = (EXPERT / EXPERT.sum(1, keepdim=True)).log()
    torch.testing.assert_close(f[:, 1] - f[:, 0], expert[:, 1] - expert[:, 0], atol=4e-3, rtol=0)


def test_airl_is_reward_potential_and_policy():
    """f = g + γ h(s') - h(s), h being 0 after an end; by hand."""
    judge = AIRLDiscriminator(VectorFeatures(1, 2), [], discount=0.9)
    with torch.no_grad():
        tower, potential = judge.choice_reward.tower[0], judge.potential[0]
        tower.weight.copy_(torch.tensor([[1.0], [2.0], [0.5]]))
        tower.bias.copy_(torch.tensor([0.1, 0.2, 0.0]))
        potential.weight.fill_(3.0)
        potential.bias.fill_(1.0)
    batch = transitions(
        torch.tensor([[2.0], [2.0]]), [0, 1], torch.tensor([[4.0], [4.0]]), [False, True]
    ).set(Key.LOG_PROBABILITY, torch.tensor([0.25, 0.5]).log())
    reward = torch.tensor([1 * 2 + 0.1 + 0.5 * 2, 2 * 2 + 0.2 + 0.5 * 2])
    f = reward + torch.tensor([0.9 * 13 - 7, -7])
    torch.testing.assert_close(judge.reward(batch), reward)
    torch.testing.assert_close(judge.score(*judge.inputs(batch)), f)
    torch.testing.assert_close(
        judge.logit(batch), f - torch.tensor([math.log(0.25), math.log(0.5)])
    )
    # D = exp f / (exp f + π) is the sigmoid of that.
    d = f.exp() / (f.exp() + torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(judge.logit(batch).sigmoid(), d)
    torch.testing.assert_close(judge.rewards(batch)[0], reward)


def test_state_only_rewards_see_no_action():
    judge = AIRLDiscriminator(VectorFeatures(3, 2), state_only=True)
    batch = random_transitions(6)
    other = batch.clone().set(Key.ACTION, 1 - batch[Key.ACTION])
    assert torch.equal(judge.reward(batch), judge.reward(other))
    rewards = judge.rewards(batch)
    assert rewards.shape == (6, 2)
    assert torch.equal(rewards[:, 0], judge.reward(batch))


def test_the_anchor_has_no_reward():
    torch.manual_seed(0)
    features = CandidateFeatures(9, 2, 3)
    batch = TensorDict(
        {
            Key.HISTORY: torch.randint(1, 11, (5, 3)),
            Key.CANDIDATES: torch.randint(1, 10, (5, 4)),
            Key.ACTION: torch.tensor([[0], [4], [1], [4], [2]]),
        },
        [5],
    )
    judge = AIRLDiscriminator(features, anchored=True)
    rewards = judge.rewards(batch)
    assert not rewards[:, -1].any()
    torch.testing.assert_close(judge.reward(batch), rewards.gather(1, batch[Key.ACTION])[:, 0])
    assert (judge.reward(batch) == 0).tolist() == [False, True, False, True, False]
    assert AIRLDiscriminator(features).rewards(batch)[:, -1].all()


def test_without_shaping_f_is_g():
    judge = AIRLDiscriminator(VectorFeatures(3, 2), shaping=False)
    batch = random_transitions(6)
    assert torch.equal(judge.score(*judge.inputs(batch)), judge.reward(batch))


def test_spectral_norm_bounds_the_slope():
    torch.manual_seed(0)
    judge = GAILDiscriminator(VectorFeatures(3, 2), [16, 16], spectral=True)
    with torch.no_grad():
        for layer in judge.network.tower[::2]:
            layer.parametrizations.weight.original.mul_(50)
        for _ in range(60):  # each pass in training brings the singular values closer
            judge.logit(random_transitions(1))
    judge.eval()
    states = torch.randn(200, 3, requires_grad=True)
    tower = judge.network.tower(states)
    for column in range(tower.shape[1]):
        (slope,) = torch.autograd.grad(tower[:, column].sum(), states, retain_graph=True)
        assert slope.norm(dim=1).max() <= 1.01


def test_batches_may_have_any_shape():
    judge = AIRLDiscriminator(VectorFeatures(3, 2))
    flat = random_transitions(6)
    square = TensorDict.stack([flat[:3], flat[3:]], 0)
    torch.testing.assert_close(judge.logit(square).flatten(), judge.logit(flat))
