import math

import pytest
import torch

from lightrec.learners.losses.slate_q import SlateSarsaLoss
from tests.learners.losses.rows import Level, batch, gradients, softmax
from tests.learners.losses.test_slate_q import SLATES, policy

TARGETS = [[1.5], [-0.5]]
LEVELS = [[0.7], [0.2]]


def build():
    loss = SlateSarsaLoss(policy(), Level(LEVELS))
    return loss, loss.policy


def rows():
    """Column 2 was taken in state 0, nothing in state 1."""
    targets = torch.tensor(TARGETS, dtype=torch.float64)
    return batch(SLATES, clicked_column=[[2], [-1]]).set("value_target", targets)


def test_values_and_law_by_hand():
    loss, values = build()
    found = loss(rows().exclude("next"))
    errors, level_errors = (2.0 - 1.5, -0.2 + 0.5), (0.7 - 1.5, 0.2 + 0.5)
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    assert found["loss_value"].item() == pytest.approx(sum(e**2 for e in level_errors) / 2)
    first, second = softmax([0.0, 0.3, -0.2]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    assert gradients(found, "loss_value", loss.critic) == [[pytest.approx(e)] for e in level_errors]
    expected = [[0, first[1] / 2, (first[2] - 1) / 2, 0], [0, 0, 0, second[1] / 2]]
    for row, by_hand in zip(gradients(found, "loss_choice", values.choices), expected, strict=True):
        assert row == pytest.approx(by_hand)
    found["loss_qvalue"].backward()
    wanted = torch.zeros(2, 4, dtype=torch.float64)
    wanted[0, 2] = errors[0]
    torch.testing.assert_close(values.items.rows.grad, wanted)
    assert values.nothing.rows.grad.squeeze(-1).tolist() == pytest.approx([0.0, errors[1]])
