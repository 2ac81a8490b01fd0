import math

import pytest
import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.objectives import SoftUpdate

from lightrec.learners.losses import SlateQLoss
from tests.learners.losses.rows import DISCOUNT, NONE, Rows, batch, gradients, network, softmax

VALUES = [[NONE, 1.0, 2.0, -1.0], [NONE, 3.0, NONE, 0.5]]
NOTHING = [[0.4], [-0.2]]
CHOICE = [[NONE, 0.3, -0.2, 1.0], [NONE, -0.5, NONE, 0.2]]
SLATES = [[1, 2], [3, -1]]


class Values(nn.Module):
    def __init__(self):
        super().__init__()
        self.items, self.nothing = Rows(VALUES), Rows(NOTHING)

    def forward(self, state):
        return self.items(state), self.nothing(state)


def build(**settings):
    values = TensorDictModule(Values(), in_keys=["state"], out_keys=["action_value", "null_value"])
    choice = network("choice_logits", CHOICE)
    loss = SlateQLoss(values, choice, slate_size=2, **settings)
    loss.make_value_estimator(gamma=DISCOUNT)
    SoftUpdate(loss, tau=0.5)
    return loss, values.module, choice


def next_value():
    """State 1 has two columns, both shown."""
    null, first, third = softmax([0.0, -0.5, 0.2])
    return null * -0.2 + first * 3.0 + third * 0.5


def test_items_values_by_hand():
    loss, values, _ = build()
    # Column 2 was taken and the session cut; nothing was taken and the session ended.
    data = batch(SLATES, clicked_column=[[2], [-1]])
    found = loss(data)
    errors = 2.0 - (1.0 + DISCOUNT * next_value()), -0.2 - 2.0
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    assert data["td_error"].squeeze(-1).tolist() == pytest.approx([e**2 for e in errors])
    found["loss_qvalue"].backward()
    expected = torch.zeros(2, 4, dtype=torch.float64)
    expected[0, 2] = errors[0]
    torch.testing.assert_close(values.items.rows.grad, expected)
    assert values.nothing.rows.grad.squeeze(-1).tolist() == pytest.approx([0.0, errors[1]])


def test_choice_by_hand():
    loss, _, choice = build()
    found = loss(batch(SLATES, clicked_column=[[2], [-1]]))
    first, second = softmax([0.0, 0.3, -0.2]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    expected = [[0, first[1] / 2, (first[2] - 1) / 2, 0], [0, 0, 0, second[1] / 2]]
    for row, by_hand in zip(gradients(found, "loss_choice", choice), expected, strict=True):
        assert row == pytest.approx(by_hand)


def test_offsets_of_places_by_hand():
    loss, _, _ = build(position_offsets=True)
    with torch.no_grad():
        loss.later_offsets.fill_(0.7)
    found = loss(batch(SLATES, clicked_column=[[2], [-1]]))
    first, second = softmax([0.0, 0.3, 0.5]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    (gradient,) = torch.autograd.grad(found["loss_choice"], loss.later_offsets)
    assert gradient.tolist() == pytest.approx([(first[2] - 1) / 2])
    assert loss.offsets.tolist() == pytest.approx([0.0, 0.7])


def test_cheaper_slates():
    """By v Q column 2 stands before 3 in state 0, which the session that was cut goes on to."""
    loss, _, _ = build(method="top_k")
    data = batch(SLATES, ended=0, clicked_column=[[1], [3]])
    found = loss(data)
    law = softmax([0.0, 0.3, -0.2])
    following = law[0] * 0.4 + law[1] * 1.0 + law[2] * 2.0
    errors = 1.0 - 1.0, 0.5 - (2.0 + DISCOUNT * following)
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)


def test_target_network_lags_behind():
    loss, values, _ = build()
    updater = SoftUpdate(loss, tau=0.25)
    data = batch(SLATES, clicked_column=[[2], [-1]])
    with torch.no_grad():
        values.nothing.rows[1] += 1.0
    before = loss(data)["target_value"].item()
    updater.step()
    null = softmax([0.0, -0.5, 0.2])[0]
    moved = loss(data)["target_value"].item() - before
    assert moved == pytest.approx(DISCOUNT * null * 0.25 / 2)


def test_what_was_taken_must_have_been_shown():
    loss, _, _ = build()
    with pytest.raises(ValueError, match="not shown"):
        loss(batch(SLATES, clicked_column=[[3], [-1]]))


def test_unknown_method():
    with pytest.raises(ValueError, match="exact or top_k"):
        build(method="best")
