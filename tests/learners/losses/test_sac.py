import math

import pytest
import torch

from lightrec.learners.losses.actor_value import CandidateSACLoss
from tests.learners.losses.rows import DISCOUNT, NONE, Rows, batch, gradients, softmax

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
FIRST = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]
SECOND = [[NONE, 1.5, 1.0, 0.0], [NONE, NONE, 2.0, 1.0]]
LESSER = [[NONE, 1.0, 1.0, -1.0], [NONE, NONE, 2.0, 0.5]]
SHOWN = [(1, 2, 3), (2, 3)]
ALPHA, WEIGHT = 0.6, 0.9


def test_losses_by_hand():
    actor, first, second = Rows(LOGITS), Rows(FIRST), Rows(SECOND)
    settings = {"alpha_init": ALPHA, "target_entropy_weight": WEIGHT, "discount": DISCOUNT}
    loss = CandidateSACLoss(actor, [first, second], loss_function="l2", **settings)
    found = loss(batch([[2], [3]]))
    laws = [softmax(row) for row in LOGITS]
    costs = [
        sum(laws[r][c] * (ALPHA * math.log(laws[r][c]) - LESSER[r][c]) for c in SHOWN[r])
        for r in (0, 1)
    ]
    targets = 1.0 - DISCOUNT * costs[1], 2.0
    errors = [
        [values[row][column] - targets[row] for row, column in ((0, 2), (1, 3))]
        for values in (FIRST, SECOND)
    ]
    squares = [e**2 for network_errors in errors for e in network_errors]
    assert found["loss_qvalue"].item() == pytest.approx(sum(squares) / 2)
    assert gradients(found, "loss_qvalue", second)[0] == pytest.approx([0, 0, errors[1][0], 0])

    assert found["loss_actor"].item() == pytest.approx(sum(costs) / 2)
    for row, slopes in enumerate(gradients(found, "loss_actor", actor)):
        law = laws[row]
        by_hand = [
            law[c] * (ALPHA * math.log(law[c]) - LESSER[row][c] - costs[row]) / 2
            if c in SHOWN[row]
            else 0.0
            for c in range(4)
        ]
        assert slopes == pytest.approx(by_hand)

    # Each state aims at a share of what its own number of candidates allows.
    entropies = [-sum(law[c] * math.log(law[c]) for c in SHOWN[r]) for r, law in enumerate(laws)]
    excess = sum(entropies) / 2 - WEIGHT * (math.log(3) + math.log(2)) / 2
    assert found["loss_alpha"].item() == pytest.approx(math.log(ALPHA) * excess)
    (slope,) = torch.autograd.grad(found["loss_alpha"], loss.log_alpha)
    assert slope.item() == pytest.approx(excess)
    assert found["entropy"].item() == pytest.approx(sum(entropies) / 2)


def test_alpha_that_is_fixed_is_not_learned():
    networks = Rows(LOGITS), [Rows(FIRST), Rows(SECOND)]
    assert not CandidateSACLoss(*networks, fixed_alpha=True).log_alpha.requires_grad
    with pytest.raises(ValueError, match="alpha_init is 0"):
        CandidateSACLoss(*networks, alpha_init=0.0)


def test_targets_lag_behind_and_span_the_steps_in_between():
    actor, first, second = Rows(LOGITS), Rows(FIRST), Rows(SECOND)
    loss = CandidateSACLoss(actor, [first, second], discount=DISCOUNT)
    with torch.no_grad():
        first.rows += 1.0
    assert loss.targets[0].rows[0, 1] == 1.0
    loss.follow_up(0.25)
    assert loss.targets[0].rows[0, 1] == 1.25
    data = batch([[2], [3]], steps_to_next_obs=[[1], [3]], ended=0)
    target = loss._target(data, torch.tensor([4.0, 4.0]))
    assert target.tolist() == [1.0, 2.0 + DISCOUNT**3 * 4.0]
