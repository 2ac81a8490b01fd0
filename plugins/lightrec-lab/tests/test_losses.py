"""Losses of second learners, against numbers by hand and bounds that are known."""

import math

import pytest
import torch
from lightrec_lab.losses import (
    CandidateMPOLoss,
    CandidateSACLoss,
    ReinforceTopKLoss,
    SlateQLoss,
    top_k_multiplier,
)

from tests.learners.rows import DISCOUNT, NONE, Level, Rows, Slates, batch, gradients, softmax

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
FIRST = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]
SECOND = [[NONE, 1.5, 1.0, 0.0], [NONE, NONE, 2.0, 1.0]]
LESSER = [[NONE, 1.0, 1.0, -1.0], [NONE, NONE, 2.0, 0.5]]
BASELINE = [[0.7], [-0.4]]
SHOWN = [(1, 2, 3), (2, 3)]
LAWS = [softmax(row) for row in LOGITS]
L2 = {"loss_function": "l2", "discount": DISCOUNT}


def mean_squares(*errors):
    """Mean over the two rows."""
    return pytest.approx(sum(e**2 for e in errors) / 2)


def test_soft_actor_critic():
    actor, first, second = Rows(LOGITS), Rows(FIRST), Rows(SECOND)
    alpha, weight = 0.6, 0.9
    loss = CandidateSACLoss(
        actor, [first, second], alpha_init=alpha, target_entropy_weight=weight, **L2
    )
    losses = loss(batch([[2], [3]]))
    costs = [
        sum(LAWS[r][c] * (alpha * math.log(LAWS[r][c]) - LESSER[r][c]) for c in SHOWN[r])
        for r in (0, 1)
    ]
    targets = 1.0 - DISCOUNT * costs[1], 2.0
    errors = [v[row][c] - targets[row] for v in (FIRST, SECOND) for row, c in ((0, 2), (1, 3))]
    assert losses["loss_qvalue"].item() == mean_squares(*errors)
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


BOUND, POLICY_BOUND, TEMPERATURE, MULTIPLIER = 0.2, 0.05, 0.7, 1.3


def mpo():
    actor, values = Rows(LOGITS), Rows(FIRST)
    how = {"bound": BOUND, "policy_bound": POLICY_BOUND}
    how |= {"temperature_init": TEMPERATURE, "multiplier_init": MULTIPLIER}
    return CandidateMPOLoss(actor, values, **how, **L2), actor, values


def test_steps_of_mpo():
    loss, actor, values = mpo()
    with torch.no_grad():  # the policy has left its target
        actor.rows[0, 1] += 0.4
    losses = loss(batch([[2], [3]]))
    moved = [softmax([NONE, 1.4, 0.5, -0.5]), LAWS[1]]
    cross = dual = divergence = 0.0
    for row, prior in enumerate(LAWS):
        tilted = [prior[c] * math.exp(FIRST[row][c] / TEMPERATURE) for c in range(4)]
        q = [each / sum(tilted) for each in tilted]
        cross -= sum(q[c] * math.log(moved[row][c]) for c in SHOWN[row]) / 2
        divergence += sum(prior[c] * math.log(prior[c] / moved[row][c]) for c in SHOWN[row]) / 2
        dual += TEMPERATURE * (BOUND + math.log(sum(tilted))) / 2
    assert losses["loss_actor"].item() == pytest.approx(cross + MULTIPLIER * divergence)
    assert losses["loss_temperature"].item() == pytest.approx(dual)
    violation = MULTIPLIER * (POLICY_BOUND - divergence)
    assert losses["loss_multiplier"].item() == pytest.approx(violation)
    errors = 2.0 - (1.0 + DISCOUNT * (LAWS[1][2] * 3.0 + LAWS[1][3] * 0.5)), 0.5 - 2.0
    assert losses["loss_qvalue"].item() == mean_squares(*errors)
    assert gradients(losses, "loss_qvalue", values)[0] == pytest.approx([0, 0, errors[0], 0])


def test_mpo_meets_its_bounds():
    """At the dual's minimum E KL(q ‖ π̄) is ε, and the policy moves as far as it may."""
    loss, actor, _ = mpo()
    groups = [(loss.log_temperature, 0.5), (actor.rows, 0.3), (loss.log_multiplier, 1.0)]
    optimizer = torch.optim.SGD([{"params": [each], "lr": rate} for each, rate in groups])
    for _ in range(500):
        optimizer.zero_grad()
        losses = loss(batch([[2], [3]]))
        names = "loss_temperature", "loss_actor", "loss_multiplier"
        sum(losses[name] for name in names).backward()
        optimizer.step()
    assert losses["kl_target"].item() == pytest.approx(BOUND, abs=1e-6)
    assert losses["kl"].item() == pytest.approx(POLICY_BOUND, abs=1e-4)
    assert softmax(actor.rows[0, 1:].tolist())[1] > LAWS[0][2]


def test_slate_q():
    """Column 2 was taken and the session cut; nothing was taken and the session ended."""
    items, choice = (
        [[NONE, 1.0, 2.0, -1.0], [NONE, 3.0, NONE, 0.5]],
        [[NONE, 0.3, -0.2, 1.0], [NONE, -0.5, NONE, 0.2]],
    )
    policy = Slates(Rows(items), Rows([[0.4], [-0.2]]), Rows(choice))
    loss, data = SlateQLoss(policy, **L2), batch([[1, 2], [3, -1]], clicked_column=[[2], [-1]])
    losses = loss(data)
    null, first, third = softmax([0.0, -0.5, 0.2])  # both columns of state 1 are shown
    following = null * -0.2 + first * 3.0 + third * 0.5
    errors = 2.0 - (1.0 + DISCOUNT * following), -0.2 - 2.0
    assert losses["loss_qvalue"].item() == mean_squares(*errors)
    assert gradients(losses, "loss_qvalue", policy.items)[0] == pytest.approx([0, 0, errors[0], 0])
    before = losses["target_value"].item()
    with torch.no_grad():
        policy.nothing.rows[1] += 1.0
    loss.follow_up(0.25)
    later = loss(data)["target_value"].item()
    assert later - before == pytest.approx(DISCOUNT * null * 0.25 / 2)


BEHAVIOR = [[NONE, 0.0, 0.4, -1.0], [NONE, NONE, 0.0, 0.0]]


def test_top_k_reinforce():
    """The gradient by the logits is w (π - 1[shown])."""
    actor, critic, behavior = Rows(LOGITS), Level(BASELINE), Rows(BEHAVIOR)
    slates, advantage, cap = [[2], [3]], (1.5, -0.5), 1.2
    rows = batch(slates, advantage=[[1.5], [-0.5]], value_target=[[1.0], [2.0]])
    losses = ReinforceTopKLoss(actor, critic, behavior, top_k=2, cap=cap)(rows)
    total, expected, ratios = 0.0, [], []
    for row, (column,) in enumerate(slates):
        ratios.append(LAWS[row][column] / softmax(BEHAVIOR[row])[column])
        weight = min(ratios[-1], cap) * 2 * (1 - LAWS[row][column]) * advantage[row] / 2
        total -= weight * math.log(LAWS[row][column])
        expected.append([weight * (LAWS[row][other] - (other == column)) for other in range(4)])
    assert losses["loss_actor"].item() == pytest.approx(total)
    for row, slopes in zip(gradients(losses, "loss_actor", actor), expected, strict=True):
        assert row == pytest.approx(slopes)
    capped = [min(ratio, cap) for ratio in ratios]
    share = sum(capped) ** 2 / sum(w**2 for w in capped) / 2
    assert losses["ESS"].item() == pytest.approx(share, rel=1e-6)
    likelihoods = [math.log(softmax(BEHAVIOR[row])[column]) for row, (column,) in enumerate(slates)]
    assert losses["loss_behavior"].item() == pytest.approx(-sum(likelihoods) / 2)


def test_the_multiplier_of_top_k_is_the_derivative_of_being_shown():
    law = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    (1 - (1 - law) ** 3).sum().backward()
    torch.testing.assert_close(top_k_multiplier(law.detach().log(), 3), law.grad)


def test_what_must_be_positive_is_refused_at_0():
    with pytest.raises(ValueError, match="alpha_init is 0"):
        CandidateSACLoss(Rows(LOGITS), [Rows(FIRST)] * 2, alpha_init=0)
