import math

import pytest
import torch

from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss, top_k_multiplier
from tests.learners.losses.rows import NONE, Level, Rows, batch, gradients, softmax

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
BEHAVIOR = [[NONE, 0.0, 0.4, -1.0], [NONE, NONE, 0.0, 0.0]]
BASELINE = [[0.7], [-0.4]]
SLATES = [[2, 1], [3, -1]]
ADVANTAGE = [[1.5], [-0.5]]
TARGET = [[1.0], [2.0]]
CAP = 1.2


def build(behavior=BEHAVIOR, **settings):
    networks = Rows(LOGITS), Level(BASELINE), Rows(behavior)
    return ReinforceTopKLoss(*networks, **{"top_k": 2, "cap": CAP, **settings}), *networks


def data():
    return batch(SLATES, advantage=ADVANTAGE, value_target=TARGET)


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


def logarithms():
    laws = [softmax(row) for row in BEHAVIOR]
    return laws, [[math.log(laws[0][2]), math.log(laws[0][1])], [math.log(laws[1][3]), 0.0]]


def test_learned_behavior_by_hand():
    loss, actor, critic, behavior = build()
    found = loss(data())
    laws, logs = logarithms()
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
    # Both errors are smaller than one, or two and a half: smooth L1 is half the square, or linear.
    errors = [BASELINE[row][0] - TARGET[row][0] for row in (0, 1)]
    assert found["loss_value"].item() == pytest.approx((errors[0] ** 2 / 2 - errors[1] - 0.5) / 2)
    slope = [row[0] for row in gradients(found, "loss_value", critic)]
    assert slope == pytest.approx([errors[0] / 2, -1 / 2], rel=1e-6)


def test_worth_of_the_weights():
    found = build()[0](data())
    (_, logs), laws = logarithms(), [softmax(row) for row in LOGITS]
    shown = (0, 2, logs[0][0]), (0, 1, logs[0][1]), (1, 3, logs[1][0])
    ratios = [laws[row][column] / math.exp(log) for row, column, log in shown]
    capped = [min(ratio, CAP) for ratio in ratios]
    share = sum(capped) ** 2 / sum(w**2 for w in capped) / 3
    assert found["ESS"].item() == pytest.approx(share, rel=1e-6)
    assert found["mean_ratio"].item() == pytest.approx(sum(ratios) / 3, rel=1e-6)
    assert found["cap_fraction"].item() == pytest.approx(sum(r > CAP for r in ratios) / 3)
    assert 0 < sum(r > CAP for r in ratios) < 3


def test_multiplier():
    """The derivative of 1 - (1 - π)^K."""
    law = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    (1 - (1 - law) ** 3).sum().backward()
    torch.testing.assert_close(top_k_multiplier(law.detach().log(), 3), law.grad)
    assert top_k_multiplier(torch.tensor(-0.5), 1).item() == 1


def test_a_cap_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="cap is 0"):
        build(cap=0.0)
