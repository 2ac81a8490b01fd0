import math

import pytest
import torch

from lightrec.learners.losses.slate_q import SlateQLoss
from tests.learners.losses.rows import DISCOUNT, NONE, Rows, Slates, batch, gradients, softmax

VALUES = [[NONE, 1.0, 2.0, -1.0], [NONE, 3.0, NONE, 0.5]]
NOTHING = [[0.4], [-0.2]]
CHOICE = [[NONE, 0.3, -0.2, 1.0], [NONE, -0.5, NONE, 0.2]]
SLATES = [[1, 2], [3, -1]]


def policy():
    return Slates(Rows(VALUES), Rows(NOTHING), Rows(CHOICE))


def build():
    loss = SlateQLoss(policy(), discount=DISCOUNT, loss_function="l2")
    return loss, loss.policy


def next_value():
    """State 1 has two columns, both shown."""
    null, first, third = softmax([0.0, -0.5, 0.2])
    return null * -0.2 + first * 3.0 + third * 0.5


def test_items_values_by_hand():
    loss, values = build()
    # Column 2 was taken and the session cut; nothing was taken and the session ended.
    found = loss(batch(SLATES, clicked_column=[[2], [-1]]))
    errors = 2.0 - (1.0 + DISCOUNT * next_value()), -0.2 - 2.0
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    found["loss_qvalue"].backward()
    expected = torch.zeros(2, 4, dtype=torch.float64)
    expected[0, 2] = errors[0]
    torch.testing.assert_close(values.items.rows.grad, expected)
    assert values.nothing.rows.grad.squeeze(-1).tolist() == pytest.approx([0.0, errors[1]])


def test_choice_by_hand():
    loss, policy = build()
    found = loss(batch(SLATES, clicked_column=[[2], [-1]]))
    first, second = softmax([0.0, 0.3, -0.2]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    expected = [[0, first[1] / 2, (first[2] - 1) / 2, 0], [0, 0, 0, second[1] / 2]]
    for row, by_hand in zip(gradients(found, "loss_choice", policy.choices), expected, strict=True):
        assert row == pytest.approx(by_hand)


def test_target_network_lags_behind():
    loss, values = build()
    data = batch(SLATES, clicked_column=[[2], [-1]])
    with torch.no_grad():
        values.nothing.rows[1] += 1.0
    before = loss(data)["target_value"].item()
    loss.follow_up(0.25)
    null = softmax([0.0, -0.5, 0.2])[0]
    moved = loss(data)["target_value"].item() - before
    assert moved == pytest.approx(DISCOUNT * null * 0.25 / 2)
