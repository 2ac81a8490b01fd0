"""Each check of a policy fails for a policy that is wrong in just that."""

import random

import pytest
import torch
from lightrec_testing import PolicyChecks, PolicyMakerChecks, RankerChecks, tiny
from torch import nn

from lightrec.api import Key, LearnedPolicy
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import ItemSlates
from lightrec.policies.base import ScoredPolicy, among_candidates, vectors_of, without_nothing

N = 10


class Right(LearnedPolicy, ScoredPolicy):
    """Scores items by their vectors' product with the mean of the history's."""

    feature_size = 1

    def __init__(self, num_items: int = N):
        super().__init__(num_items)
        self.items = nn.Embedding(num_items + 1, 4)
        self.bias = nn.Parameter(torch.randn(num_items + 1))

    def user_vectors(self, history):
        history = without_nothing(history, self.num_items)
        items = (history > 0).unsqueeze(-1)
        return (self.items(history) * items).sum(1) / items.sum(1).clamp(1)

    def logits(self, state):
        scores = vectors_of(self, state) @ self.items.weight.T + self.bias
        return among_candidates(state, scores)

    def session_features(self, state):
        return state[Key.ACCEPTED_TOTAL] / state[Key.STEP].clamp_min(1)

    def act(self, state, slate_size=1, deterministic=True):
        return self.change(super().act(state, slate_size, deterministic), deterministic)

    def change(self, state, deterministic):
        return state


def drawn(self, state):
    scores = Right.logits(self, state)
    return scores + torch.rand_like(scores)


def all_alike(self, state):
    scores = Right.logits(self, state)
    return scores.masked_fill(scores > -torch.inf, 0.0)


class Law(PlackettLuce):
    """The law of slates with wrong probabilities."""

    def log_prob(self, value):
        return super().log_prob(value) + (0.7 if self.slate_size == 1 else 0.0)


def backwards(self, slate):
    return torch.where((slate > 0).all(1, keepdim=True), slate.flip(1), slate)


def leaves_as_it_is(self, state, slate_size=1, deterministic=True):
    law = self.distribution(state, slate_size)
    slate = law.mode if deterministic else law.sample()
    state[Key.LOG_PROBABILITY] = law.log_prob(slate)
    return state.set(Key.ACTION, slate)


def always_draws(self, state, slate_size=1, deterministic=True):
    return Right.act(self, state, slate_size, False)


def wrong_law(self, state, slate_size=1):
    right = Right.distribution(self, state, slate_size)
    return ItemSlates(Law(right.columns.logits, state[Key.MASK], slate_size))


def counts_padding(self, history):
    return Right.user_vectors(self, history) * (history > 0).float().mean(1, True)


def fills(self, state, deterministic):
    empty = state[Key.ACTION] == 0
    return state.set(Key.ACTION, state[Key.ACTION] + empty * (N * deterministic))


def writes_nothing(self, state, deterministic):
    return state.set(Key.LOG_PROBABILITY, torch.zeros_like(state[Key.LOG_PROBABILITY]))


def worst_first(self, state, deterministic):
    slate = state[Key.ACTION]
    return state.set(Key.ACTION, slate.flip(1) if deterministic and (slate > 0).all() else slate)


class Ranked(Right):
    """Ranks the items of a run, whatever run it is."""

    @classmethod
    def from_run(cls, run):
        return cls()

    def scores(self, histories, users=None, *, details=None):
        return self.ranked(super().scores(histories, users), histories)

    def ranked(self, scores, histories):
        return scores


def shortens(self, scores, histories):
    histories[:, 0] = 0
    return scores


def checks_of(kind, changed):
    """The checks of a policy, which a policy maker makes of as many items as its world has."""
    wrong = type("Wrong", (Ranked if kind is RankerChecks else Right,), changed)
    maker = type("Maker", (), {"policy": lambda s, world, users, run=None: wrong(world.num_items)})
    return kind(maker if kind is PolicyMakerChecks else wrong)


@pytest.fixture(autouse=True)
def no_run(monkeypatch, tmp_path):
    monkeypatch.setattr(tiny, "kit_run", lambda: tmp_path)


POLICIES = [
    ({}, set()),  # a right one, as are the next three
    ({"arrange": backwards}, set()),
    ({"logits": drawn}, set()),
    ({"logits": all_alike}, set()),
    (
        {"scores_in": lambda s, state: Right.scores_in(s, state).nan_to_num()},
        {"output as declared", "devices"},
    ),
    ({"user_vectors": counts_padding}, {"padding"}),
    ({"history_length": 4}, {"padding"}),
    ({"logits": lambda s, state: vectors_of(s, state) @ s.items.weight.T}, {"candidates"}),
    ({"distribution": wrong_law}, {"probabilities", "candidates"}),
    ({"change": fills}, {"valid slates"}),
    ({"change": writes_nothing}, {"frequencies"}),
    ({"change": worst_first}, {"best first"}),
    ({"act": always_draws}, {"best first"}),
    ({"act": leaves_as_it_is, "arrange": backwards}, {"best first"}),
    ({"feature_size": 3}, {"session features"}),
    (
        {"session_features": lambda s, state: state[Key.ACCEPTED_TOTAL] / state[Key.STEP]},
        {"session features"},
    ),
]
RANKERS = [
    ({}, set()),
    ({"user_vectors": counts_padding}, {"padding"}),
    ({"ranked": lambda s, scores, h: scores.double()}, {"output as declared"}),
    ({"ranked": lambda s, scores, h: scores / (h > 0).any(1, True)}, {"output as declared"}),
    ({"ranked": lambda s, scores, h: scores - scores.mean(0)}, {"rows apart"}),
    ({"ranked": lambda s, scores, h: scores * random.Random().random()}, {"deterministic"}),
    ({"ranked": shortens}, {"input unchanged", "rows apart"}),
    ({"ranked": lambda s, scores, h: torch.manual_seed(0) and scores}, {"global chance"}),
]


@pytest.mark.parametrize(
    ("kind", "changed", "names"),
    [
        *((PolicyChecks, *wrong) for wrong in POLICIES),
        *((PolicyMakerChecks, *wrong) for wrong in POLICIES),
        *((RankerChecks, *wrong) for wrong in RANKERS),
    ],
)
def test_a_wrong_one_fails(kind, changed, names, failing):
    assert failing(checks_of(kind, changed)) == names
