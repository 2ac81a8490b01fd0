import math

import pytest
import torch

from lightrec.learners.losses.actor_value import CandidateMPOLoss
from tests.learners.losses.rows import DISCOUNT, NONE, Rows, batch, gradients, softmax

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
VALUES = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]
TEMPERATURE, BOUND, POLICY_BOUND, MULTIPLIER = 0.7, 0.2, 0.05, 1.3
SHOWN = [(1, 2, 3), (2, 3)]


def build():
    actor, values = Rows(LOGITS), Rows(VALUES)
    loss = CandidateMPOLoss(
        actor,
        values,
        bound=BOUND,
        policy_bound=POLICY_BOUND,
        temperature_init=TEMPERATURE,
        multiplier_init=MULTIPLIER,
        discount=DISCOUNT,
        loss_function="l2",
    )
    return loss, actor, values


def improved(row):
    """Give q, and log Σ π̄ exp(Q / η)."""
    law = softmax(LOGITS[row])
    weights = [law[c] * math.exp(VALUES[row][c] / TEMPERATURE) for c in range(4)]
    return [weight / sum(weights) for weight in weights], math.log(sum(weights))


def test_steps_by_hand():
    loss, actor, _ = build()
    with torch.no_grad():  # the policy has left its target
        actor.rows[0, 1] += 0.4
    found = loss(batch([[2], [3]]))
    moved = [softmax([NONE, 1.4, 0.5, -0.5]), softmax(LOGITS[1])]
    cross = dual = divergence = slope = 0.0
    expected = []
    for row in (0, 1):
        prior = softmax(LOGITS[row])
        q, total = improved(row)
        cross -= sum(q[c] * math.log(moved[row][c]) for c in SHOWN[row]) / 2
        divergence += sum(prior[c] * math.log(prior[c] / moved[row][c]) for c in SHOWN[row]) / 2
        dual += TEMPERATURE * (BOUND + total) / 2
        # The dual's derivative by log η: η (ε - KL(q ‖ π̄)).
        kl = sum(q[c] * math.log(q[c] / prior[c]) for c in SHOWN[row])
        slope += TEMPERATURE * (BOUND - kl) / 2
        expected.append(
            [(moved[row][c] - q[c] + MULTIPLIER * (moved[row][c] - prior[c])) / 2 for c in range(4)]
        )
    assert found["loss_actor"].item() == pytest.approx(cross + MULTIPLIER * divergence)
    assert found["loss_temperature"].item() == pytest.approx(dual)
    assert found["kl"].item() == pytest.approx(divergence)
    violation = MULTIPLIER * (POLICY_BOUND - divergence)
    assert found["loss_multiplier"].item() == pytest.approx(violation)
    for row, by_hand in zip(gradients(found, "loss_actor", actor), expected, strict=True):
        assert row == pytest.approx(by_hand)
    for key, parameter, by_hand in (
        ("loss_temperature", loss.log_temperature, slope),
        ("loss_multiplier", loss.log_multiplier, violation),
    ):
        (gradient,) = torch.autograd.grad(found[key], parameter)
        assert gradient.item() == pytest.approx(by_hand)


def test_critic_by_hand():
    loss, _, values = build()
    found = loss(batch([[2], [3]]))
    law = softmax(LOGITS[1])
    errors = 2.0 - (1.0 + DISCOUNT * (law[2] * 3.0 + law[3] * 0.5)), 0.5 - 2.0
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    slopes = gradients(found, "loss_qvalue", values)
    assert slopes[0] == pytest.approx([0, 0, errors[0], 0])
    assert slopes[1] == pytest.approx([0, 0, 0, errors[1]])


def test_learned_temperature_meets_the_bound():
    """At the dual's minimum E KL(q ‖ π̄) is ε."""
    loss, _, _ = build()
    optimizer = torch.optim.SGD([loss.log_temperature], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        loss(batch([[2], [3]]))["loss_temperature"].backward()
        optimizer.step()
    assert loss(batch([[2], [3]]))["kl_target"].item() == pytest.approx(BOUND, abs=1e-6)


def test_policy_moves_as_far_as_its_bound():
    loss, actor, _ = build()
    optimizer = torch.optim.SGD(
        [{"params": [actor.rows], "lr": 0.3}, {"params": [loss.log_multiplier], "lr": 1.0}]
    )
    for _ in range(500):
        optimizer.zero_grad()
        found = loss(batch([[2], [3]]))
        (found["loss_actor"] + found["loss_multiplier"]).backward()
        optimizer.step()
    assert found["kl"].item() == pytest.approx(POLICY_BOUND, abs=1e-4)
    assert softmax(actor.rows[0, 1:].tolist())[1] > softmax(LOGITS[0])[2]


@pytest.mark.parametrize("name", ["bound", "policy_bound", "temperature_init"])
def test_settings_out_of_range(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        CandidateMPOLoss(Rows(LOGITS), Rows(VALUES), **{name: 0})
