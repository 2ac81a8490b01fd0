"""What the losses share: renamed keys, weights, reductions, target networks, refusals."""

import pytest
import torch
from torchrl.objectives import SoftUpdate

from lightrec.learners.losses import CandidateMPOLoss, CandidateSACLoss
from lightrec.nn.plackett_luce import at, expectation, log_probabilities, may_be_shown
from tests.learners.losses.rows import DISCOUNT, NONE, batch, network, slate_actor

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
VALUES = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]


def build(kind, **settings):
    loss = kind(network("logits", LOGITS), network("action_value", VALUES), **settings)
    loss.make_value_estimator(gamma=DISCOUNT)
    return loss, SoftUpdate(loss, tau=0.5)


KINDS = pytest.mark.parametrize("kind", [CandidateMPOLoss, CandidateSACLoss])


@KINDS
def test_keys_can_be_renamed(kind):
    loss, _ = build(kind)
    plain = loss(batch([[2], [3]]))
    names = {"action": "shown", "reward": "gain", "terminated": "over", "done": "stopped"}
    loss.set_keys(**names, priority="surprise")
    data = batch([[2], [3]])
    for old, new in names.items():
        place = data if old == "action" else data["next"]
        place[new] = place.pop(old)
    renamed = loss(data)
    assert {key: value.item() for key, value in renamed.items()} == pytest.approx(
        {key: value.item() for key, value in plain.items()}
    )
    assert data["surprise"].shape == (2, 1)
    assert {"shown", ("next", "gain"), ("next", "over"), "state", ("next", "state")} <= set(
        loss.in_keys
    )


@KINDS
def test_in_and_out_keys(kind):
    loss, _ = build(kind)
    data = batch([[2], [3]])
    assert set(loss.in_keys) <= set(data.keys(include_nested=True))
    assert set(loss(data).keys()) == set(loss.out_keys)


@KINDS
def test_without_a_reduction_every_transition_has_its_loss(kind):
    each, _ = build(kind, reduction="none")
    mean, _ = build(kind)
    found, expected = each(batch([[2], [3]])), mean(batch([[2], [3]]))
    assert found.batch_size == (2,)
    for key in (key for key in expected.keys() if key.startswith("loss")):  # noqa: SIM118
        assert found[key].mean().item() == pytest.approx(expected[key].item())


@KINDS
def test_weights_of_prioritised_replay(kind):
    loss, _ = build(kind)
    each, _ = build(kind, reduction="none")
    weights = torch.tensor([3.0, 1.0], dtype=torch.float64)
    single = each(batch([[2], [3]]))["loss_qvalue"]
    data = batch([[2], [3]]).set("priority_weight", weights)
    expected = (weights * single).sum() / weights.sum()
    assert loss(data)["loss_qvalue"].item() == pytest.approx(expected.item())


@KINDS
def test_slates_of_several_are_refused(kind):
    loss, _ = build(kind)
    with pytest.raises(ValueError, match="one column shown"):
        loss(batch([[2, 1], [3, 2]]))


@KINDS
@pytest.mark.parametrize("masked", [False, True])
def test_a_probabilistic_actor_may_apply_the_mask(kind, masked):
    finite = [[0.0 if value == NONE else value for value in row] for row in LOGITS]
    logits = network("logits", finite if masked else LOGITS).module
    values = network("action_value", VALUES)
    loss = kind(slate_actor(logits, slate_size=1, masked=masked), values)
    SoftUpdate(loss, tau=0.5)
    plain, _ = build(kind)
    loss.make_value_estimator(gamma=DISCOUNT)
    data = batch([[2], [3]])
    shown = torch.tensor(LOGITS) > NONE
    data["mask"], data["next", "mask"] = shown, shown.flip(0)
    found, expected = loss(data), plain(batch([[2], [3]]))
    for key in plain.out_keys:
        assert found[key].item() == pytest.approx(expected[key].item())


@KINDS
def test_learns_the_networks_given_and_resumes(kind):
    loss, updater = build(kind)
    given = {id(parameter) for parameter in loss.actor_network.parameters()}
    assert given <= {id(parameter) for parameter in loss.parameters()}
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter += 0.3
    updater.step()
    other, _ = build(kind)
    other.load_state_dict(loss.state_dict())
    found, expected = other(batch([[2], [3]])), loss(batch([[2], [3]]))
    assert found["loss_qvalue"].item() == expected["loss_qvalue"].item()


def test_nothing_to_show_is_worth_nothing():
    logits = torch.tensor([[NONE, NONE], [0.0, NONE]], requires_grad=True)
    logs = log_probabilities(logits)
    value = expectation(logs.exp(), torch.full((2, 2), 5.0), may_be_shown(logits))
    assert value.tolist() == [0.0, 5.0]
    expectation(logs.exp(), logs, may_be_shown(logits)).sum().backward()
    assert logits.grad.isfinite().all()
    assert at(torch.tensor([[7.0, 8.0]]), torch.tensor([[1, -1]])).tolist() == [[8.0, 7.0]]
