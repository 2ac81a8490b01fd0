"""Integrated gradients of rewards: they are complete, and exact where the reward is linear."""

import pytest
import torch
from lightrec_audit.reward import attribute

from lightrec.users.choice_model import PooledChoice, RecurrentChoice
from lightrec.users.irl import Continuation, RewardModel

N = 9


def model_of(kind, **settings):
    torch.manual_seed(0)
    model = kind(N, 3, 5, **{"discount": 0.9, "leave_rate": 0.1, **settings})
    model.set_items(torch.randn(N + 1, 3), torch.randn(N + 1))
    torch.nn.init.normal_(model.bias)
    torch.nn.init.normal_(model.value.weight)
    return model.eval()


HISTORY = torch.tensor([[0, 0, 3, 4, 9], [1, 2, N + 1, 4, 4], [0, 0, 0, 0, 0], [5, 6, 7, 8, 9]])
ITEMS = torch.tensor([2, 4, 9, 9])


def check_sum(model, tolerance):
    reward, baseline, parts = attribute(model, HISTORY, ITEMS, steps=32)
    torch.testing.assert_close(reward, model.reward(HISTORY, ITEMS.unsqueeze(1)).squeeze(1))
    total = sum(part.view(len(ITEMS), -1).sum(1) for part in parts.values())
    torch.testing.assert_close(total, reward - baseline, atol=tolerance, rtol=0)
    return parts


@pytest.mark.parametrize(
    ("kind", "records_nothing"),
    [(PooledChoice, True), (PooledChoice, False), (RecurrentChoice, True)],
)
def test_parts_sum_to_the_reward_less_the_baseline(kind, records_nothing):
    model = model_of(kind, records_nothing=records_nothing)
    parts = check_sum(model, 2e-4)
    # Padding, and steps in which nothing was chosen, have no part.
    assert (parts["history"][(HISTORY == 0) | (HISTORY > N)] == 0).all()


def test_parts_of_a_reward_with_networks_of_its_own_sum_up_too():
    continuation = Continuation(model_of(RecurrentChoice), 8)
    torch.nn.init.normal_(continuation.linear.weight)
    model = RewardModel(model_of(PooledChoice), continuation, 0.9).eval()
    parts = check_sum(model, 1e-3)
    alone = attribute(model.network, HISTORY, ITEMS, steps=32)[2]
    assert not torch.allclose(parts["vectors"], alone["vectors"])


def test_it_is_exact_where_the_reward_is_linear():
    model = model_of(PooledChoice, discount=0.0)
    # Tastes are the same in all states, and the hidden layer is silent.
    for part in (model.head[2], model.linear_head, model.hidden[0]):
        torch.nn.init.zeros_(part.weight)
    torch.nn.init.zeros_(model.hidden[0].bias)
    model.offset_weight.data.fill_(0.5)
    parts = attribute(model, HISTORY, ITEMS, steps=2)[2]
    taste = model.head[2].bias[:-1]
    linear = taste @ model.as_candidate.weight[:, -11:]
    torch.testing.assert_close(parts["vectors"], linear[:3] * model.vectors[ITEMS])
    torch.testing.assert_close(parts["identity"], model.identity[ITEMS] @ linear[3:])
    torch.testing.assert_close(parts["bias"], model.bias[ITEMS])
    torch.testing.assert_close(parts["offsets"], 0.5 * model.offsets[ITEMS])
    assert (parts["history"] == 0).all()
