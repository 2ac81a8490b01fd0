import math

import pytest
import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn
from torchrl.objectives import SoftUpdate, ValueEstimators

from lightrec.learners.losses import ReinforceTopKLoss, top_k_multiplier
from tests.learners.losses.rows import (
    DISCOUNT,
    NONE,
    Rows,
    batch,
    gradients,
    network,
    slate_actor,
    softmax,
)

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
BEHAVIOR = [[NONE, 0.0, 0.4, -1.0], [NONE, NONE, 0.0, 0.0]]
BASELINE = [[0.7], [-0.4]]
SLATES = [[2, 1], [3, -1]]
ADVANTAGE = [[1.5], [-0.5]]
TARGET = [[1.0], [2.0]]
CAP = 1.2


def build(behavior=None, functional=True, **settings):
    actor, critic = network("logits", LOGITS), network("state_value", BASELINE)
    settings = {"top_k": 2, "cap": CAP, "loss_critic_type": "l2", **settings}
    loss = ReinforceTopKLoss(actor, critic, behavior, functional=functional, **settings)
    return loss, actor, critic


def data(**more):
    given = batch(SLATES, advantage=ADVANTAGE, value_target=TARGET)
    return given.update({key: torch.tensor(value) for key, value in more.items()})


def by_hand(log_behavior):
    """Give the loss and its gradient by the logits: -w log π, and w (π - 1[shown])."""
    loss, gradient = 0.0, [[0.0] * 4, [0.0] * 4]
    for row, slate in enumerate(SLATES):
        law = softmax(LOGITS[row])
        for place, column in enumerate(slate):
            if column < 0:
                continue
            ratio = law[column] / math.exp(log_behavior[row][place])
            correction = 2 * (1 - law[column])
            weight = min(ratio, CAP) * correction * ADVANTAGE[row][0] / 2
            loss -= weight * math.log(law[column])
            for other in range(4):
                gradient[row][other] += weight * (law[other] - (other == column))
    return loss, gradient


@pytest.mark.parametrize("functional", [True, False])
def test_logged_propensities_by_hand(functional):
    loss, actor, critic = build(functional=functional)
    logged = [[math.log(0.2), math.log(0.7)], [math.log(0.5), 0.0]]
    found = loss(data(action_log_prob=logged))
    value, gradient = by_hand(logged)
    assert found["loss_actor"].item() == pytest.approx(value, rel=1e-6)
    for row, expected in zip(gradients(found, "loss_actor", actor), gradient, strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-7)
    errors = [BASELINE[row][0] - TARGET[row][0] for row in (0, 1)]
    assert found["loss_value"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    slope = [row[0] for row in gradients(found, "loss_value", critic)]
    assert slope == pytest.approx(errors, rel=1e-6)


def test_worth_of_the_weights():
    loss, _, _ = build()
    logged = [[math.log(0.2), math.log(0.7)], [math.log(0.5), 0.0]]
    found = loss(data(action_log_prob=logged))
    first, second = softmax(LOGITS[0]), softmax(LOGITS[1])
    ratios = first[2] / 0.2, first[1] / 0.7, second[3] / 0.5
    capped = [min(ratio, CAP) for ratio in ratios]
    share = sum(capped) ** 2 / sum(w**2 for w in capped) / 3
    assert found["ESS"].item() == pytest.approx(share, rel=1e-6)
    assert found["mean_ratio"].item() == pytest.approx(sum(ratios) / 3, rel=1e-6)
    assert found["cap_fraction"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("functional", [True, False])
def test_learned_behavior_by_hand(functional):
    behavior = network("behavior_logits", BEHAVIOR)
    loss, actor, _ = build(behavior, functional)
    found = loss(data())
    laws = [softmax(row) for row in BEHAVIOR]
    logs = [[math.log(laws[0][2]), math.log(laws[0][1])], [math.log(laws[1][3]), 0.0]]
    value, gradient = by_hand(logs)
    assert found["loss_actor"].item() == pytest.approx(value)
    for row, expected in zip(gradients(found, "loss_actor", actor), gradient, strict=True):
        assert row == pytest.approx(expected)
    likelihood = (logs[0][0] + logs[0][1]) / 2 + logs[1][0]
    assert found["loss_behavior"].item() == pytest.approx(-likelihood / 2)
    # β less each column's share of what was shown.
    shares = [[0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    for row, law, share in zip(
        gradients(found, "loss_behavior", behavior), laws, shares, strict=True
    ):
        assert row == pytest.approx([(p - s) / 2 for p, s in zip(law, share, strict=True)])


def encoded(functional, whole):
    """Build a behavior network on the actor's state; ``whole``: with the encoder in it."""
    torch.manual_seed(0)
    encoder = TensorDictModule(Rows([[1.0, 2.0], [0.5, -1.0]]), in_keys=["state"], out_keys=["h"])
    heads = {
        key: TensorDictModule(nn.Linear(2, 4).double(), in_keys=["h"], out_keys=[key])
        for key in ("logits", "behavior_logits")
    }
    actor = TensorDictSequential(encoder, heads["logits"])
    behavior = heads["behavior_logits"]
    if whole:
        behavior = TensorDictSequential(encoder, behavior)
    critic = network("state_value", BASELINE)
    loss = ReinforceTopKLoss(actor, critic, behavior, top_k=2, functional=functional)
    return loss, encoder.module.rows, heads


@pytest.mark.parametrize(("functional", "whole"), [(True, True), (True, False), (False, False)])
def test_behavior_does_not_move_the_shared_state(functional, whole):
    loss, rows, heads = encoded(functional, whole)
    loss(data())["loss_behavior"].backward()
    assert rows.grad is None or not rows.grad.any()
    assert heads["behavior_logits"].module.weight.grad.any()
    loss(data())["loss_actor"].backward()
    assert rows.grad.any()
    assert heads["logits"].module.weight.grad.any()


def test_shared_parameters_without_functional():
    with pytest.raises(ValueError, match="shares parameters"):
        encoded(functional=False, whole=True)


def test_multiplier():
    """The derivative of 1 - (1 - π)^K."""
    law = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    (1 - (1 - law) ** 3).sum().backward()
    torch.testing.assert_close(top_k_multiplier(law.detach().log(), 3), law.grad)
    assert top_k_multiplier(torch.tensor(-0.5), 1).item() == 1


def test_items_with_advantages_of_their_own():
    loss, _, _ = build(cap=100.0, top_k=1)
    given = batch([[2, 1], [3, 2]], value_target=TARGET)
    given["advantage"] = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    given["action_log_prob"] = torch.zeros(2, 2)
    law = softmax(LOGITS[0])
    found = loss(given)
    assert found["loss_actor"].item() == pytest.approx(-law[1] * 2.0 * math.log(law[1]) / 2)


def test_estimates_advantages_itself():
    loss, _, _ = build(delay_value=True)
    SoftUpdate(loss, tau=0.5)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    given = batch([[2], [3]], action_log_prob=[0.0, 0.0])
    loss(given)
    advantages = 1.0 + DISCOUNT * -0.4 - 0.7, 2.0 + 0.4
    assert given["advantage"].squeeze(-1).tolist() == pytest.approx(advantages)


@pytest.mark.parametrize("functional", [True, False])
def test_a_probabilistic_actor_may_apply_the_mask(functional):
    finite = [[0.0 if value == NONE else value for value in row] for row in LOGITS]
    actor = slate_actor(Rows(finite), slate_size=2, masked=True)
    critic = network("state_value", BASELINE)
    loss = ReinforceTopKLoss(actor, critic, top_k=2, cap=CAP, functional=functional)
    logged = [[math.log(0.2), math.log(0.7)], [math.log(0.5), 0.0]]
    given = data(action_log_prob=logged).set("mask", torch.tensor(LOGITS) > NONE)
    assert loss(given)["loss_actor"].item() == pytest.approx(by_hand(logged)[0], rel=1e-6)


def test_a_slates_log_probability_is_refused():
    loss, _, _ = build()
    with pytest.raises(ValueError, match="Each item's own log-probability"):
        loss(data(action_log_prob=[0.0, 0.0]))


@pytest.mark.parametrize("setting", [{"top_k": 0}, {"cap": 0.0}])
def test_settings_out_of_range(setting):
    with pytest.raises(ValueError, match="top_k must be 1 or more"):
        build(**setting)
