"""A policy of another catalog: the same weights over other items' vectors."""

import pytest
import torch

from lightrec.errors import RecipeError
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.tower import TowerPolicy
from lightrec.testing.tiny import tiny_choice_model, tiny_ranker

N, D = 6, 4


def tower(seed, vectors, **settings):
    torch.manual_seed(seed)
    policy = TowerPolicy(len(vectors) - 1, D, pools=2, history_length=3, **settings)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return policy.set_items(vectors).eval()


def test_a_moved_policy_scores_vectors_as_the_other_one_does_whatever_their_numbers():
    vectors = torch.randn(N + 1, D, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([0, 4, 3, 6, 5, 1, 2])
    earlier, moved = tower(0, vectors), tower(1, vectors[order])
    moved.move(earlier)
    history = torch.tensor([[0, 1, 2], [3, 5, 4]])
    found = moved.scores(session_start(history))[:, 1:]
    expected = earlier.scores(session_start(order[history]))[:, order][:, 1:]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tune", [False, True])
def test_the_parts_of_the_target_stay_as_they_are(tune):
    earlier, moved = (
        CandidatePolicy(tiny_ranker(n), tiny_choice_model(n), size=4, tune=tune) for n in (12, 9)
    )
    for parameter in earlier.parameters():
        torch.nn.init.normal_(parameter, std=0.5) if parameter.ndim > 1 else parameter.data.fill_(3)
    kept = {n: x.clone() for n, x in moved.state_dict().items()}
    moved.move(earlier)
    changed = {n for n, x in moved.state_dict().items() if not torch.equal(x, kept[n])}
    learned = {"utility_weight", "project.weight"} | {
        name for name in kept if name.startswith("query_network.")
    }
    assert {name for name in changed if not name.startswith("ranker.users.")} == learned
    assert any(name.startswith("ranker.users.") for name in changed) == tune


def test_another_class_or_size_is_refused():
    policy = tower(0, torch.randn(N + 1, D))
    with pytest.raises(
        RecipeError, match="is a CandidatePolicy, and the recipe's is a TowerPolicy"
    ):
        policy.move(CandidatePolicy(tiny_ranker()))
    with pytest.raises(
        RecipeError, match="The TowerPolicy to go on from does not fit: query_network"
    ):
        policy.move(tower(0, torch.randn(N + 1, D), hidden=(8,)))
