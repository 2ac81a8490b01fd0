"""Open gates give a model's own scores, closed ones those of a history of average events."""

import pytest
import torch
from lightrec_audit.gates import Past, by_leaving_out, gated

from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.baselines import GreedyRankerPolicy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture, utilities
from lightrec.policies.tower import TowerPolicy
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import Popularity
from lightrec.ranking.item_models.item_to_item import ItemKNN
from lightrec.testing import tiny
from lightrec.users.choice_model import RecurrentChoice
from lightrec.users.user_model import UserModel

N = tiny.NUM_ITEMS
HISTORY = torch.tensor([[3, 7, 1, 7, 12, 5, 2]])
AVERAGE = 4


def knn(decay=0.8):
    model = ItemKNN(10.0, decay)
    model.keep_matrix(torch.rand(N, N))
    return model


def neighbours():
    model = ItemKNN(10.0, 0.5)
    model.keep_neighbours(torch.randint(1, N + 1, (N, 3)), torch.rand(N, 3))
    return model


def als():
    model = ALS(4, alpha=10.0)
    model.register_buffer("items", torch.nn.functional.pad(torch.rand(N, 4), (0, 0, 1, 0)))
    return model


def popularity():
    model = Popularity()
    model.register_buffer("counts", torch.arange(N + 1.0))
    return model


def tower():
    policy = TowerPolicy(N, 8, history_length=5, pools=3)
    policy.set_items(torch.randn(N + 1, 8))
    torch.nn.init.normal_(policy.query_network[-1].weight)
    return policy.eval()


def candidate(user_model):
    policy = CandidatePolicy(tiny.tiny_ranker(), user_model, history_length=4)
    torch.nn.init.ones_(policy.utility_weight)
    torch.nn.init.normal_(policy.query_network[-1].weight)
    return policy.eval()


def blend():
    models = {"knn": knn(), "als": als(), "popularity": popularity()}
    return Blend(tiny.tiny_ranker(), models, {"ranker": 0.7, **dict.fromkeys(models, 0.5)})


def mixed(length=None):
    return Mixture(blend(), utilities(UserModel([tiny.tiny_choice_model()])), 0.5, length)


MODELS = {
    "ranker": tiny.tiny_ranker,
    "matrix": knn,
    "neighbours": neighbours,
    "als": als,
    "blend": blend,
    "tower": tower,
    "candidate": lambda: candidate(tiny.tiny_choice_model()),
    "candidate of ids": lambda: candidate(None),
    "recurrent": lambda: candidate(RecurrentChoice(N, tiny.VECTOR_SIZE, 3).eval()),
    "popularity": popularity,
    "mixture": mixed,
    "mixture of the last events": lambda: mixed(length=4),
    "another policy": lambda: GreedyRankerPolicy(tiny.tiny_ranker()),
}
EXACT = [name for name in MODELS if name not in {"recurrent", "another policy", "blend"}]
EXACT = [name for name in EXACT if not name.startswith("mixture")]


def scores_of(model, history):
    if hasattr(model, "distribution"):
        return model.scores(session_start(history))[:, 1:]
    return model.scores(history)[:, 1:]


def past(history=HISTORY):
    average = torch.zeros(N + 1)
    average[AVERAGE] = 1
    return Past({Key.HISTORY: history}, average)


@pytest.mark.parametrize("name", MODELS)
def test_open_gates_change_nothing(name):
    model = MODELS[name]()
    with torch.no_grad():
        found = gated(model, past())(torch.ones(2, 7))[:, 1:]
        torch.testing.assert_close(found, scores_of(model, HISTORY).expand(2, -1))


@pytest.mark.parametrize("name", EXACT)
def test_closed_gates_put_average_events_in_place_of_all(name):
    # The average event is of one item. ALS counts an item that comes twice once.
    history = HISTORY[:, :1] if name == "als" else HISTORY
    model, length = MODELS[name](), history.shape[1]
    with torch.no_grad():
        found = gated(model, past(history))(torch.zeros(1, length))[:, 1:]
        torch.testing.assert_close(found, scores_of(model, torch.full((1, length), AVERAGE)))


@pytest.mark.parametrize("name", EXACT)
def test_one_closed_gate_replaces_one_event(name):
    model, gates = MODELS[name](), torch.ones(1, 7)
    gates[0, 5] = 0
    history = HISTORY.clone()
    history[0, 5] = AVERAGE
    with torch.no_grad():
        found = gated(model, past())(gates)[:, 1:]
        torch.testing.assert_close(found, scores_of(model, history))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "popularity"])
def test_gates_have_slopes(name):
    gates = torch.full((1, 7), 0.9, requires_grad=True)
    scores = gated(MODELS[name](), past())(gates)[:, 1:]
    (slopes,) = torch.autograd.grad(scores.log_softmax(1)[0, 3], gates)
    assert slopes.isfinite().all()
    assert slopes[0, -1] != 0


def test_what_is_left_out_of_a_sum_is_its_term():
    worth = torch.rand(N + 1, 3)
    worth[0] = 0
    found = by_leaving_out(lambda known: worth[known[Key.HISTORY]].sum(1), past())
    gates = torch.rand(4, 7)
    torch.testing.assert_close(found(gates), gates @ worth[HISTORY[0]])
