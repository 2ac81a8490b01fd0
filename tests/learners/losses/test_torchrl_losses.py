"""TorchRL's losses of slates under the law of Plackett and Luce, against numbers by hand."""

import math

import pytest
import torch
from tensordict.nn import TensorDictModule
from torchrl.objectives import A2CLoss, ClipPPOLoss, ReinforceLoss, ValueEstimators

from lightrec.learners.algorithms import Actor
from lightrec.nn.plackett_luce import EMPTY
from tests.learners.losses.rows import DISCOUNT, NONE, Level, Rows, batch, softmax

LOGITS = [[NONE, 1.0, 0.5, NONE, -0.5], [NONE, NONE, NONE, 0.3, NONE]]
BASELINE = [[0.7], [-0.4]]


def finite(loss):
    gradients = [p.grad for p in loss.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


SLATES = [[2, 1], [3, EMPTY]]


def first_log_probability():
    """Column 2 of 1, 2, 4, then column 1 of 1, 4; the other slate is certain."""
    law = softmax(LOGITS[0])
    return math.log(law[2] * law[1] / (law[1] + law[4]))


def advantages():
    return 1.0 + DISCOUNT * -0.4 - 0.7, 2.0 + 0.4


def entropy():
    return -sum(p * math.log(p) for p in softmax(LOGITS[0]) if p)


def networks():
    critic = TensorDictModule(Level(BASELINE), in_keys=["features"], out_keys=["state_value"])
    policy = Rows(LOGITS)
    policy.reads = ("state",)
    return Actor(policy, slate_size=2), critic


def test_clipped_ppo():
    loss = ClipPPOLoss(*networks(), loss_critic_type="l2", functional=False)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    data = batch(SLATES)
    old = first_log_probability() + 0.1, 0.0
    data["action_log_prob"] = torch.tensor(old, dtype=torch.float64)
    found = loss(data)
    gains = math.exp(-0.1) * advantages()[0], advantages()[1]
    assert found["loss_objective"].item() == pytest.approx(-sum(gains) / 2)
    assert found["loss_critic"].item() == pytest.approx(sum(a**2 for a in advantages()) / 2)
    assert found["entropy"].item() == pytest.approx(entropy() / 2)
    sum(value for key, value in found.items() if key.startswith("loss")).backward()
    finite(loss)


@pytest.mark.parametrize(
    ("kind", "actor", "critic"),
    [(A2CLoss, "loss_objective", "loss_critic"), (ReinforceLoss, "loss_actor", "loss_value")],
)
def test_a2c_and_reinforce(kind, actor, critic):
    loss = kind(*networks(), loss_critic_type="l2", functional=False)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    found = loss(batch(SLATES))
    expected = -first_log_probability() * advantages()[0] / 2
    assert found[actor].item() == pytest.approx(expected)
    assert found[critic].item() == pytest.approx(sum(a**2 for a in advantages()) / 2)
    if kind is A2CLoss:
        assert found["loss_entropy"].item() == pytest.approx(-0.01 * entropy() / 2)
    sum(value for key, value in found.items() if key.startswith("loss")).backward()
    finite(loss)
