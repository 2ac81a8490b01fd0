"""Masks of 1 give a model's own scores, masks of 0 those of a history of average events."""

import pytest
import torch
from lightrec_audit.masks import Past, masked
from lightrec_testing import tiny

from lightrec.keys import Key
from lightrec.policies.baselines import GreedyRankerPolicy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture, utilities
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import Popularity
from lightrec.ranking.item_models.item_to_item import ItemKNN
from lightrec.users.choice_model import RecurrentChoice

N = tiny.NUM_ITEMS
HISTORY = torch.tensor([[3, 7, 1, 7, 12, 5, 2]])
AVERAGE = 4


def knn():
    model = ItemKNN(10.0, 0.8)
    model.keep_matrix(torch.rand(N, N))
    return model


def als():
    model = ALS(4, alpha=10.0)
    model.register_buffer("items", torch.nn.functional.pad(torch.rand(N, 4), (0, 0, 1, 0)))
    return model


def popularity():
    model = Popularity()
    model.register_buffer("counts", torch.arange(N + 1.0))
    return model


def candidate(user_model):
    policy = CandidatePolicy(tiny.tiny_ranker(), user_model, history_length=4)
    torch.nn.init.ones_(policy.utility_weight)
    torch.nn.init.normal_(policy.query_network[-1].weight)
    return policy.eval()


def blend():
    models = {"knn": knn(), "als": als(), "popularity": popularity()}
    return Blend(tiny.tiny_ranker(), models, {"ranker": 0.7, **dict.fromkeys(models, 0.5)})


MODELS = {
    "ranker": tiny.tiny_ranker,
    "matrix": knn,
    "als": als,
    "blend": blend,
    "candidate": lambda: candidate(tiny.tiny_choice_model()),
    "recurrent": lambda: candidate(RecurrentChoice(N, tiny.VECTOR_SIZE, 3).eval()),
    "popularity": popularity,
    "mixture": lambda: Mixture(blend(), utilities(tiny.tiny_user_model()), 0.5, 4),
    "another policy": lambda: GreedyRankerPolicy(tiny.tiny_ranker()),
}
EXACT = ("ranker", "matrix", "als", "candidate", "popularity")


def past():
    return Past({Key.HISTORY: HISTORY}, torch.eye(N + 1)[AVERAGE])


@pytest.mark.parametrize("name", MODELS)
def test_open_gates_change_nothing_and_have_slopes(name):
    model = MODELS[name]()
    masks = torch.ones(2, 7, requires_grad=True)
    scores = masked(model, past())(masks)[:, 1:]
    torch.testing.assert_close(scores.detach(), model.scores(HISTORY)[:, 1:].detach().expand(2, -1))
    if name != "popularity":  # whose scores no event moves
        (slopes,) = torch.autograd.grad(scores.log_softmax(1)[0, 3], masks)
        assert slopes.isfinite().all()
        assert slopes[0, -1] != 0


@pytest.mark.parametrize("name", EXACT)
def test_a_closed_gate_puts_an_average_event_in_an_event_s_place(name):
    """The average event is of one item."""
    model, masks = MODELS[name](), torch.ones(1, 7)
    masks[0, 5] = 0
    history = HISTORY.clone()
    history[0, 5] = AVERAGE
    with torch.no_grad():
        scores = masked(model, past())(masks)[:, 1:]
        torch.testing.assert_close(scores, model.scores(history)[:, 1:])
