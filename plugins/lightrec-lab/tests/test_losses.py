"""The loss of SAC, against numbers by hand and bounds that are known."""

import math

import pytest
from lightrec_lab.losses import CandidateSACLoss

from tests.learners.rows import DISCOUNT, NONE, Rows, batch, gradients, softmax

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
FIRST = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]
SECOND = [[NONE, 1.5, 1.0, 0.0], [NONE, NONE, 2.0, 1.0]]
LESSER = [[NONE, 1.0, 1.0, -1.0], [NONE, NONE, 2.0, 0.5]]
SHOWN = [(1, 2, 3), (2, 3)]
LAWS = [softmax(row) for row in LOGITS]
L2 = {"loss_function": "l2", "discount": DISCOUNT}


def test_soft_actor_critic():
    actor, first, second = Rows(LOGITS), Rows(FIRST), Rows(SECOND)
    alpha, weight = 0.6, 0.9
    how = {"alpha_init": alpha, "target_entropy_weight": weight, **L2}
    loss = CandidateSACLoss(actor, [first, second], **how)
    losses = loss(batch([[2], [3]]))
    costs = [
        sum(LAWS[r][c] * (alpha * math.log(LAWS[r][c]) - LESSER[r][c]) for c in SHOWN[r])
        for r in (0, 1)
    ]
    targets = 1.0 - DISCOUNT * costs[1], 2.0
    errors = [v[row][c] - targets[row] for v in (FIRST, SECOND) for row, c in ((0, 2), (1, 3))]
    # A mean over the two rows.
    assert losses["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    assert gradients(losses, "loss_qvalue", second)[0] == pytest.approx([0, 0, errors[2], 0])
    assert losses["loss_actor"].item() == pytest.approx(sum(costs) / 2)
    law = LAWS[0]
    slopes = [law[c] * (alpha * math.log(law[c]) - LESSER[0][c] - costs[0]) / 2 for c in SHOWN[0]]
    assert gradients(losses, "loss_actor", actor)[0] == pytest.approx([0, *slopes])
    # Each state aims at a share of what its own number of candidates allows.
    entropies = [-sum(law[c] * math.log(law[c]) for c in SHOWN[r]) for r, law in enumerate(LAWS)]
    excess = sum(entropies) / 2 - weight * (math.log(3) + math.log(2)) / 2
    assert losses["loss_alpha"].item() == pytest.approx(math.log(alpha) * excess)
    assert losses["entropy"].item() == pytest.approx(sum(entropies) / 2)
    with pytest.raises(ValueError, match="alpha_init is 0"):
        CandidateSACLoss(actor, [first, second], alpha_init=0)
