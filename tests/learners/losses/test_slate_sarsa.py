import math

import pytest
import torch
from tensordict.nn import TensorDictModule

from lightrec.learners.losses import SlateSarsaLoss
from tests.learners.losses.rows import batch, gradients, network, softmax
from tests.learners.losses.test_slate_q import CHOICE, SLATES, Values

TARGETS = [[1.5], [-0.5]]
LEVELS = [[0.7], [0.2]]


def build(**settings):
    values = TensorDictModule(Values(), in_keys=["state"], out_keys=["action_value", "null_value"])
    choice, critic = network("choice_logits", CHOICE), network("state_value", LEVELS)
    loss = SlateSarsaLoss(values, choice, critic, slate_size=2, **settings)
    return loss, values.module, choice, critic


def rows(**more):
    """Column 2 was taken in state 0, nothing in state 1."""
    targets = torch.tensor(TARGETS, dtype=torch.float64)
    found = batch(SLATES, clicked_column=[[2], [-1]], **more)
    return found.set("value_target", targets)


def test_values_and_law_by_hand():
    loss, values, choice, critic = build()
    found = loss(rows())
    errors, level_errors = (2.0 - 1.5, -0.2 + 0.5), (0.7 - 1.5, 0.2 + 0.5)
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    assert found["loss_value"].item() == pytest.approx(sum(e**2 for e in level_errors) / 2)
    first, second = softmax([0.0, 0.3, -0.2]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    assert gradients(found, "loss_value", critic) == [[pytest.approx(e)] for e in level_errors]
    expected = [[0, first[1] / 2, (first[2] - 1) / 2, 0], [0, 0, 0, second[1] / 2]]
    for row, by_hand in zip(gradients(found, "loss_choice", choice), expected, strict=True):
        assert row == pytest.approx(by_hand)
    found["loss_qvalue"].backward()
    wanted = torch.zeros(2, 4, dtype=torch.float64)
    wanted[0, 2] = errors[0]
    torch.testing.assert_close(values.items.rows.grad, wanted)
    assert values.nothing.rows.grad.squeeze(-1).tolist() == pytest.approx([0.0, errors[1]])


def test_priorities_are_the_errors_of_what_was_taken():
    loss, *_ = build()
    data = rows()
    loss(data)
    assert data["td_error"].squeeze(-1).tolist() == pytest.approx([0.5**2, 0.3**2])


def test_nothing_of_next_states_is_read():
    loss, *_ = build()
    data = rows().exclude("next")
    assert set(loss.in_keys) == {"action", "clicked_column", "value_target", "state"}
    assert set(loss(data).keys()) == set(loss.out_keys)
    loss.set_keys(value_target="aim")
    data["aim"] = data.pop("value_target")
    assert "aim" in loss.in_keys
    assert loss(data)["loss_value"].item() == pytest.approx((0.8**2 + 0.7**2) / 2)


def test_without_a_reduction_every_row_has_its_loss():
    loss, *_ = build(reduction="none")
    assert loss(rows())["loss_value"].tolist() == pytest.approx([0.8**2, 0.7**2])


def test_what_was_taken_must_have_been_shown():
    loss, *_ = build()
    with pytest.raises(ValueError, match="not shown"):
        loss(rows().set("clicked_column", torch.tensor([[3], [-1]])))
