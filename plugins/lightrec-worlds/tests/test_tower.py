"""The policy of two towers: what it reads, items that come after training, meanings of texts."""

import pytest
import torch
from lightrec_worlds.tower import TowerPolicy, fit_left_out
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.policies.base import Policy

N, D, W, F = 12, 5, 3, 2


def trained(meaning_size=0):
    torch.manual_seed(0)
    policy = TowerPolicy(N, D, F, pools=2, history_length=4, meaning_size=meaning_size)
    vectors, meanings = torch.randn(N + 1, D), torch.randn(N + 1, W)
    policy.set_items(vectors, meanings if meaning_size else None)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return policy.eval().requires_grad_(False), vectors


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


def test_old_items_keep_their_scores_and_their_twins_have_the_same():
    policy, vectors = trained()
    grown, now = policy.with_items(vectors[[4, 7]]), state()
    assert (grown.num_items, policy.num_items, len(policy.vectors)) == (N + 2, N, N + 2)
    assert torch.equal(grown.logits(now), policy.logits(now))
    now[Key.CANDIDATES] = torch.tensor([[4, 7, N + 1, N + 2]]).expand(4, -1)
    scores = grown.logits(now)
    torch.testing.assert_close(scores[:, 2:], scores[:, :2])


def test_a_loaded_policy_grows_likewise_and_is_saved_as_grown(tmp_path):
    policy, _ = trained(W)
    new = torch.randn(2, D)
    policy.save_pretrained(tmp_path / "old")
    grown = policy.with_items(new)
    grown.save_pretrained(tmp_path / "new")
    for loaded in (Policy.load(tmp_path / "old").with_items(new), Policy.load(tmp_path / "new")):
        assert torch.equal(loaded.logits(state()), grown.logits(state()))
    with pytest.raises(ValueError, match=r"shape \(2, 4\).*vectors of length 5"):
        policy.with_items(torch.zeros(2, 4))


def test_sums_over_histories_fade_by_half_lives():
    policy = trained()[0]
    history = torch.tensor([[0, 0, 2, 5], [0, 0, 0, N + 1]])
    sums = policy.user_vectors(history).view(2, 2, D + 1)
    ages = torch.tensor([3.0, 2, 1, 0])
    for pool, half_life in enumerate((1.0, 4.0)):
        weights = 0.5 ** (ages / half_life)
        weights /= weights.sum().sqrt()
        wanted = weights[2] * policy.vectors[2] + weights[3] * policy.vectors[5]
        torch.testing.assert_close(sums[0, pool], wanted)
        torch.testing.assert_close(sums[1, pool], weights[3] * policy.vectors[-1])


def data(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    inputs = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    noise = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return inputs, inputs[:, :2] * torch.tensor([3.0, 0.0]) + noise + 5


@pytest.mark.parametrize(("rows", "columns"), [(20, 4), (8, 30)])
def test_predictions_are_those_of_fits_without_the_row(rows, columns):
    inputs, targets = data(rows, columns)
    weights, predicted = fit_left_out(inputs, targets, [0.7])
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)

    def ridge(kept):
        gram = x[kept].T @ x[kept] + 0.7 * torch.eye(columns, dtype=torch.float64)
        return torch.linalg.solve(gram, x[kept].T @ y[kept])

    torch.testing.assert_close(weights, ridge(torch.arange(rows)))
    for row in range(rows):
        kept = torch.arange(rows) != row
        torch.testing.assert_close(predicted[row], x[row] @ ridge(kept))
