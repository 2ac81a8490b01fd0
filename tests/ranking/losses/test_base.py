"""What all losses have in common."""

import pytest
import torch

from lightrec.ranking.losses import (
    InBatchLoss,
    RankingLoss,
    SampledSoftmaxLoss,
    SoftmaxLoss,
)
from tests.ranking.losses.cases import D, N, make

LOSSES = [
    InBatchLoss(0.7),
    SampledSoftmaxLoss(5),
    SoftmaxLoss(),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


@pytest.fixture(autouse=True)
def prepared():
    popularity = torch.arange(N + 1).float()
    for loss in LOSSES:
        loss.prepare(popularity)
    torch.manual_seed(1)


@every_loss
def test_a_finite_scalar_with_finite_gradients(loss):
    case = make(torch.float32)
    value = case.loss(loss)
    assert value.shape == ()
    assert value.isfinite()
    value.backward()
    ranker = case.ranker
    for reached in [case.states, ranker.items.ids, ranker.bias]:
        assert reached.grad.isfinite().all()
        assert reached.grad.abs().sum() > 0
    assert ranker.items.ids.grad[0].abs().sum() == 0


@every_loss
def test_no_predictions_cost_nothing(loss):
    ranker = make().ranker
    states = torch.zeros(0, D, dtype=torch.float64, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    value = loss(ranker, states, none, lambda rows: none[rows, None])
    value.backward()
    assert value == 0


@every_loss
def test_falls_where_the_next_items_rise(loss):
    case, found = make(), []
    for shift in (-20.0, 0.0, 20.0):
        torch.manual_seed(1)
        with torch.no_grad():
            case.ranker.bias.zero_()
            case.ranker.bias[case.target[1:3]] = shift
        rows = slice(1, 3)
        value = loss(
            case.ranker, case.states[rows], case.target[rows], lambda r: case.table[1:3][r]
        )
        found.append(value.item())
    if isinstance(loss, InBatchLoss):  # the two rows are each other's only negatives
        assert found == pytest.approx(found[:1] * 3)
    else:
        assert found == sorted(found, reverse=True)
        assert found[0] > found[2] + 2


@every_loss
def test_what_was_seen_is_no_negative(loss):
    case = make()
    case.table[:, :4] = torch.tensor([3, 6, 8, 9])
    case.loss(loss).backward()
    moved = {int(i) for i in case.ranker.bias.grad.nonzero().squeeze(1)}
    assert moved <= {1, 2, 4, 5, 7}


@every_loss
def test_settings_make_the_same_loss_again(loss):
    module, _, name = loss.description["class_path"].rpartition(".")
    assert module.startswith("lightrec.ranking.losses")
    again = globals()[name](**loss.description["init_args"])
    assert again.description == loss.description
    assert isinstance(again, RankingLoss)
    assert not loss.state_dict()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="cannot draw 0 negatives"):
        SampledSoftmaxLoss(negatives=0)
    with pytest.raises(ValueError, match="temperature of 0"):
        InBatchLoss(0)
