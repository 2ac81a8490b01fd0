import math

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.imitation.adversarial_losses import (
    RunningScale,
    discriminator_loss,
    gradient_penalty,
    reward_from_logit,
)
from lightrec.learners.imitation.discriminators import AIRLDiscriminator, GAILDiscriminator
from lightrec.learners.imitation.features import CandidateFeatures, VectorFeatures
from tests.learners.imitation.transitions import transitions


def linear(weights):
    """A GAIL discriminator of one state number x and one choice: logit = w · x + b."""
    judge = GAILDiscriminator(VectorFeatures(1, 1), [])
    with torch.no_grad():
        judge.network.tower[0].weight.copy_(torch.tensor([[0.0], [weights[0]]]))
        judge.network.tower[0].bias.copy_(torch.tensor([0.0, weights[1]]))
    return judge


def at(*values):
    observation = torch.tensor(values).unsqueeze(1)
    return transitions(observation, [0] * len(values), observation, [False] * len(values))


def test_loss_is_the_mean_cross_entropy_of_both_sides():
    judge = linear((2.0, 1.0))
    losses = discriminator_loss(judge, at(1.0, -2.0), at(0.0, -1.0))
    # Logits: the expert's 3 and -3, the policy's 1 and -1.
    expert = [math.log1p(math.exp(-3)), math.log1p(math.exp(3))]
    policy = [math.log1p(math.exp(1)), math.log1p(math.exp(-1))]
    expected = (sum(expert) / 2 + sum(policy) / 2) / 2
    assert losses["loss_discriminator"].item() == pytest.approx(expected)
    assert float(losses["expert_right"]) == 0.5
    assert float(losses["policy_right"]) == 0.5
    assert "loss_penalty" not in losses


def test_penalty_of_a_linear_score_is_that_of_its_slope():
    # Slopes: 3 by the state; by the choice's one number, what the tower says of it, 0.
    judge = linear((3.0, 0.0))
    assert gradient_penalty(judge, at(1.0, 2.0), at(5.0, -1.0)).item() == pytest.approx(4.0)
    losses = discriminator_loss(judge, at(1.0), at(5.0), penalty=10.0)
    assert losses["loss_penalty"].item() == pytest.approx(40.0)


@pytest.mark.parametrize("kind", [GAILDiscriminator, AIRLDiscriminator])
def test_penalty_is_finite_with_ids_and_leaves_embeddings_alone(kind):
    torch.manual_seed(0)
    judge = kind(CandidateFeatures(30, 4, 5).set_items(torch.randn(31, 4)))

    def batch():
        state = {
            Key.HISTORY: torch.randint(0, 32, (16, 5)),
            Key.CANDIDATES: torch.randint(1, 31, (16, 6)),
        }
        after = {name: part.roll(1, 0) for name, part in state.items()}
        after["terminated"] = torch.zeros(16, 1, dtype=torch.bool)
        row = {**state, Key.ACTION: torch.randint(7, (16, 1)), "next": TensorDict(after, [16])}
        return TensorDict(row, [16]).set(Key.LOG_PROBABILITY, -torch.ones(16))

    penalty = gradient_penalty(judge, batch(), batch())
    penalty.backward()
    assert torch.isfinite(penalty)
    assert judge.features.identity.grad is None
    slopes = [p.grad for n, p in judge.named_parameters() if not n.startswith("features")]
    assert any(slope is not None and slope.abs().sum() > 0 for slope in slopes)
    losses = discriminator_loss(judge, batch(), batch(), 1.0)
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    assert judge.features.identity.grad.abs().sum() > 0
    assert torch.isfinite(judge.features.identity.grad).all()


def test_forms_of_the_reward():
    logit = torch.tensor([-30.0, -1.0, 0.0, 2.0, 30.0], dtype=torch.float64)
    d = logit.sigmoid()
    assert torch.equal(reward_from_logit(logit, "logit"), logit)
    torch.testing.assert_close(
        reward_from_logit(logit[:4], "positive"), -torch.log(1 - d[:4]), rtol=1e-9, atol=1e-12
    )
    torch.testing.assert_close(
        reward_from_logit(logit[1:], "negative"), torch.log(d[1:]), rtol=1e-9, atol=1e-12
    )
    assert (reward_from_logit(logit, "positive") > 0).all()
    assert (reward_from_logit(logit, "negative") < 0).all()
    both = reward_from_logit(logit, "positive") + reward_from_logit(logit, "negative")
    torch.testing.assert_close(both, logit)


def test_scaling_divides_and_takes_nothing_off():
    scale = RunningScale()
    reward = torch.tensor([1.0, 3.0])
    torch.testing.assert_close(scale(reward), reward)  # their standard deviation is 1
    assert (scale(torch.tensor([4.0, 8.0])) > 0).all()
    # Means 2 and 6, mean squares 5 and 40: the mixture's variance is 22.5 - 16.
    expected = torch.tensor([4.0, 8.0])
    again = RunningScale()
    again(reward)
    torch.testing.assert_close(again(expected), expected / math.sqrt(22.5 - 16))
    assert float(RunningScale()(torch.zeros(3)).sum()) == 0
