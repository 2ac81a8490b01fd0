"""The policy of two towers and items that come after training."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.policies.base import Policy
from lightrec.policies.tower import TowerPolicy, fit_left_out

N, D, W, F = 12, 5, 3, 2


def trained(meaning_size=0):
    torch.manual_seed(0)
    policy = TowerPolicy(N, D, F, pools=2, history_length=4, meaning_size=meaning_size)
    vectors, meanings = torch.randn(N + 1, D), torch.randn(N + 1, W)
    policy.set_items(vectors, meanings if meaning_size else None)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return policy.eval().requires_grad_(False), vectors, meanings


def state(rows=4):
    torch.manual_seed(1)
    data = {
        Key.HISTORY: torch.randint(0, N + 1, (rows, 5)),
        Key.OBSERVATION: torch.randn(rows, F),
        Key.STEP: torch.arange(rows).unsqueeze(1),
        Key.ACCEPTED_TOTAL: torch.arange(rows).unsqueeze(1) / 2,
        Key.CANDIDATES: torch.arange(1, N + 1).expand(rows, -1),
    }
    return TensorDict(data, [rows])


@pytest.mark.parametrize("meaning_size", [0, W])
def test_old_items_keep_their_scores(meaning_size):
    policy, *_ = trained(meaning_size)
    grown = policy.with_items(torch.randn(3, D))
    assert grown.num_items == N + 3
    assert torch.equal(grown.logits(state()), policy.logits(state()))
    assert policy.num_items == N
    assert len(policy.vectors) == N + 2


def test_a_new_item_with_an_old_ones_vector_is_scored_as_that():
    policy, vectors, _ = trained()
    grown = policy.with_items(vectors[[4, 7]])
    now = state()
    now[Key.CANDIDATES] = torch.tensor([[4, 7, N + 1, N + 2]]).expand(4, -1)
    scores = grown.logits(now)
    torch.testing.assert_close(scores[:, 2:], scores[:, :2])


def test_new_items_count_in_histories_and_nothing_moves_on():
    policy, vectors, _ = trained()
    grown = policy.with_items(vectors[[4, 7]])
    found = grown.user_vectors(torch.tensor([[N + 1, 2], [N + 3, 2]]))
    wanted = policy.user_vectors(torch.tensor([[4, 2], [N + 1, 2]]))
    torch.testing.assert_close(found, wanted)


def test_with_meanings_items_are_what_the_others_foretell():
    policy, vectors, meanings = trained(W)
    weights, predicted = fit_left_out(vectors[1:], meanings[1:])
    known = predicted - predicted.mean(0)
    torch.testing.assert_close(policy.vectors[1:-1, :-1], known / known.std(0, correction=0))
    grown = policy.with_items(vectors[[4]])
    wanted = (vectors[4] - vectors[1:].mean(0)) @ weights / known.std(0, correction=0)
    torch.testing.assert_close(grown.vectors[N + 1, :-1], wanted)
    # The item's own meaning stood in the map that its twin is read by, not in its own row.
    assert not torch.allclose(grown.vectors[N + 1], grown.vectors[4])


def test_a_column_that_was_constant_does_not_set_new_items_apart():
    policy = TowerPolicy(N, 2).set_items(torch.randn(N + 1, 1) * torch.tensor([[1.0, 0.0]]) + 7)
    grown = policy.with_items(torch.tensor([[8.0, 1e6]]))
    assert grown.vectors[:, 1].eq(0).all()
    assert grown.vectors.isfinite().all()


def test_a_loaded_policy_grows_likewise_and_is_saved_as_grown(tmp_path):
    policy, *_ = trained(W)
    new = torch.randn(2, D)
    policy.save_pretrained(tmp_path / "old")
    drawn = torch.random.get_rng_state()
    grown = policy.with_items(new)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    grown.save_pretrained(tmp_path / "new")
    for loaded in (Policy.load(tmp_path / "old").with_items(new), Policy.load(tmp_path / "new")):
        assert loaded.num_items == N + 2
        assert torch.equal(loaded.vectors, grown.vectors)
        assert torch.equal(loaded.logits(state()), grown.logits(state()))


def test_vectors_of_another_length_are_refused():
    policy, *_ = trained()
    with pytest.raises(ValueError, match=r"shape \(2, 4\).*vectors of length 5"):
        policy.with_items(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        policy.with_items(torch.zeros(5))
