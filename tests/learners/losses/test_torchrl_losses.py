"""TorchRL's own losses with columns that may not be shown, against numbers worked out by hand."""

import math

import pytest
import torch
from torchrl.modules import QValueActor
from torchrl.objectives import (
    A2CLoss,
    ClipPPOLoss,
    DQNLoss,
    ReinforceLoss,
    SoftUpdate,
    ValueEstimators,
)

from lightrec.nn.plackett_luce import EMPTY
from tests.learners.losses.rows import DISCOUNT, NONE, Rows, batch, network, softmax
from tests.learners.losses.torchrl_losses import discrete_sac, slate_actor

LOGITS = [[NONE, 1.0, 0.5, NONE, -0.5], [NONE, NONE, NONE, 0.3, NONE]]
VALUES = [[NONE, 1.0, 2.0, NONE, -1.0], [NONE, NONE, NONE, 4.0, NONE]]
HIGHER = [[value + 1 for value in row] for row in VALUES]
BASELINE = [[0.7], [-0.4]]


def finite(loss):
    gradients = [p.grad for p in loss.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("double", [False, True])
def test_dqn(double):
    values = network("action_value", VALUES)
    actor = QValueActor(values, in_keys=["state"], action_space="categorical")
    loss = DQNLoss(actor, action_space="categorical", double_dqn=double)
    loss.make_value_estimator(gamma=DISCOUNT)
    SoftUpdate(loss, tau=0.5)
    values.module.rows.data[0, 1] += 5  # the target network still prefers column 2
    found = loss(batch([[1], [3]], ended=0))
    errors = 6.0 - 1.0, 4.0 - (2.0 + DISCOUNT * (1.0 if double else 2.0))
    assert found["loss"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    found["loss"].backward()
    finite(loss)


def test_discrete_soft_actor_critic():
    loss = discrete_sac(
        Rows(LOGITS), Rows(VALUES), Rows(HIGHER), loss_function="l2", alpha_init=0.5
    )
    loss.make_value_estimator(gamma=DISCOUNT)
    SoftUpdate(loss, tau=0.5)
    found = loss(batch([2, 3]))
    # In state 1 one column is left: no entropy.
    targets = 1.0 + DISCOUNT * 4.0, 2.0
    errors = [2.0 - targets[0], 4.0 - targets[1], 3.0 - targets[0], 5.0 - targets[1]]
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    law = softmax(LOGITS[0])
    mean = sum(law[c] * (0.5 * math.log(law[c]) - VALUES[0][c]) for c in (1, 2, 4))
    assert found["loss_actor"].item() == pytest.approx((mean - 4.0) / 2)
    assert found["entropy"].item() == pytest.approx(entropy() / 2)
    (found["loss_actor"] + found["loss_qvalue"] + found["loss_alpha"]).backward()
    finite(loss)


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
    critic = network("state_value", BASELINE)
    return slate_actor(Rows(LOGITS), slate_size=2), critic


@pytest.mark.parametrize("functional", [True, False])
def test_clipped_ppo(functional):
    loss = ClipPPOLoss(*networks(), loss_critic_type="l2", functional=functional)
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


@pytest.mark.parametrize("functional", [True, False])
def test_a2c(functional):
    loss = A2CLoss(*networks(), loss_critic_type="l2", functional=functional)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    found = loss(batch(SLATES))
    expected = -first_log_probability() * advantages()[0] / 2
    assert found["loss_objective"].item() == pytest.approx(expected)
    assert found["loss_critic"].item() == pytest.approx(sum(a**2 for a in advantages()) / 2)
    assert found["loss_entropy"].item() == pytest.approx(-0.01 * entropy() / 2)
    sum(value for key, value in found.items() if key.startswith("loss")).backward()
    finite(loss)


@pytest.mark.parametrize("functional", [True, False])
def test_reinforce(functional):
    loss = ReinforceLoss(*networks(), loss_critic_type="l2", functional=functional)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    found = loss(batch(SLATES))
    expected = -first_log_probability() * advantages()[0] / 2
    assert found["loss_actor"].item() == pytest.approx(expected)
    assert found["loss_value"].item() == pytest.approx(sum(a**2 for a in advantages()) / 2)
    (found["loss_actor"] + found["loss_value"]).backward()
    finite(loss)
