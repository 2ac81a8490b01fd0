"""TorchRL's own losses with columns that may not be shown, against numbers worked out by hand."""

import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule as Module
from torch import nn
from torchrl.modules import QValueActor
from torchrl.objectives import A2CLoss, ClipPPOLoss, DQNLoss, ReinforceLoss, ValueEstimators

from lightrec.nn.plackett_luce import EMPTY
from tests.objectives.torchrl_losses import discrete_sac, slate_actor

NONE = -torch.inf
LOGITS = torch.tensor([[NONE, 1.0, 0.5, NONE, -0.5], [NONE, NONE, NONE, 0.3, NONE]])
VALUES = torch.tensor([[NONE, 1.0, 2.0, NONE, -1.0], [NONE, NONE, NONE, 4.0, NONE]])
BASELINE = torch.tensor([[0.7], [-0.4]])
DISCOUNT = 0.5


class Rows(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.where(rows.isinf(), 0.0, rows))
        self.register_buffer("out", rows.isinf())

    def forward(self, state):
        return self.rows[state.squeeze(-1)].masked_fill(self.out[state.squeeze(-1)], NONE)


def batch(action):
    """Go on from state 0 to 1 (cut), and from state 1 to 0 (ended)."""
    return TensorDict(
        {
            "state": torch.tensor([[0], [1]]),
            "action": action,
            "next": {
                "state": torch.tensor([[1], [0]]),
                "reward": torch.tensor([[1.0], [2.0]]),
                "terminated": torch.tensor([[False], [True]]),
                "done": torch.tensor([[True], [True]]),
            },
        },
        [2],
    )


def finite(loss):
    gradients = [p.grad for p in loss.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("double", [False, True])
def test_dqn(double):
    values = Module(Rows(VALUES), in_keys=["state"], out_keys=["action_value"])
    actor = QValueActor(values, in_keys=["state"], action_space="categorical")
    loss = DQNLoss(actor, action_space="categorical", double_dqn=double)
    loss.make_value_estimator(gamma=DISCOUNT)
    loss.value_network_params.data.apply_(lambda p: p + 1 if p.is_floating_point() else p)
    found = loss(batch(torch.tensor([[2], [3]])))
    # Own values are 1 more than the target network's; the session that ended is worth 2.
    errors = 3.0 - (1.0 + DISCOUNT * 4.0), 5.0 - 2.0
    assert found["loss"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    found["loss"].backward()
    finite(loss)


def test_discrete_soft_actor_critic():
    loss = discrete_sac(
        Rows(LOGITS), Rows(VALUES), Rows(VALUES + 1), loss_function="l2", alpha_init=0.5
    )
    loss.make_value_estimator(gamma=DISCOUNT)
    found = loss(batch(torch.tensor([2, 3])))
    # In state 1 one column is left: no entropy.
    targets = 1.0 + DISCOUNT * 4.0, 2.0
    errors = [2.0 - targets[0], 4.0 - targets[1], 3.0 - targets[0], 5.0 - targets[1]]
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    law = {column: math.exp(LOGITS[0, column]) for column in (1, 2, 4)}
    law = {column: weight / sum(law.values()) for column, weight in law.items()}
    mean = sum(p * (0.5 * math.log(p) - VALUES[0, c].item()) for c, p in law.items())
    assert found["loss_actor"].item() == pytest.approx((mean - 4.0) / 2)
    entropy = -sum(p * math.log(p) for p in law.values())
    assert found["entropy"].item() == pytest.approx(entropy / 2)
    (found["loss_actor"] + found["loss_qvalue"] + found["loss_alpha"]).backward()
    finite(loss)


SLATES = torch.tensor([[2, 1], [3, EMPTY]])


def first_log_probability():
    """Column 2 of 1, 2, 4, then column 1 of 1, 4; the other slate is certain."""
    weight = {column: math.exp(LOGITS[0, column]) for column in (1, 2, 4)}
    first = weight[2] / sum(weight.values())
    return math.log(first * weight[1] / (weight[1] + weight[4]))


def advantages():
    return 1.0 + DISCOUNT * -0.4 - 0.7, 2.0 + 0.4


def entropy():
    weight = {column: math.exp(LOGITS[0, column]) for column in (1, 2, 4)}
    law = [each / sum(weight.values()) for each in weight.values()]
    return -sum(p * math.log(p) for p in law)


def networks():
    critic = Module(Rows(BASELINE), in_keys=["state"], out_keys=["state_value"])
    return slate_actor(Rows(LOGITS), slate_size=2), critic


@pytest.mark.parametrize("functional", [True, False])
def test_clipped_ppo(functional):
    loss = ClipPPOLoss(*networks(), loss_critic_type="l2", functional=functional)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    data = batch(SLATES)
    old = first_log_probability() + 0.1, 0.0
    data["action_log_prob"] = torch.tensor(old)
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
