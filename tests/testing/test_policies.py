"""Each check of a policy fails for a policy that is wrong in just that."""

import pytest
import torch
from torch import nn

from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import ItemSlates, may_be_shown
from lightrec.policies.base import (
    LearnedPolicy,
    ScoredPolicy,
    among_candidates,
    vectors_of,
    without_nothing,
)
from lightrec.testing import ContractError, PolicyChecks

N = 10


class Right(ScoredPolicy):
    """Scores items by their vectors' product with the mean of the history's."""

    def __init__(self, num_items: int = N):
        super().__init__(num_items)
        self.items = nn.Embedding(num_items + 1, 4)
        self.bias = nn.Parameter(torch.randn(num_items + 1))

    def user_vectors(self, history):
        history = without_nothing(history, self.num_items)
        known = (history > 0).unsqueeze(-1)
        return (self.items(history) * known).sum(1) / known.sum(1).clamp(1)

    def logits(self, state):
        scores = vectors_of(self, state) @ self.items.weight.T + self.bias
        return among_candidates(state, scores)


class Drawn(Right):
    """Scores with noise: right, but another time others."""

    def logits(self, state):
        scores = super().logits(state)
        return scores + torch.rand_like(scores)


class Scoring(Right):
    """One whose scores are changed by :meth:`change` afterwards."""

    def logits(self, state):
        return self.change(super().logits(state))

    def scores(self, state):
        return self.logits(state)


class PaddingHasAScore(Scoring):
    def change(self, scores):
        return scores.index_fill(1, torch.tensor([0]), 0.0)


class MeanOfNone(Right):
    def user_vectors(self, history):
        history = without_nothing(history, self.num_items)
        known = (history > 0).unsqueeze(-1)
        return (self.items(history) * known).sum(1) / known.sum(1)


class NothingIsAnItem(Right):
    def user_vectors(self, history):
        self.items(history)
        return super().user_vectors(history)


class CountsPadding(Right):
    def user_vectors(self, history):
        return super().user_vectors(history) * (history > 0).float().mean(1, True)


class CentredOverTheBatch(Right):
    def user_vectors(self, history):
        vectors = super().user_vectors(history)
        return vectors - vectors.mean(0)


class Law(PlackettLuce):
    """The law of slates with wrong probabilities."""

    def log_prob(self, value):
        return super().log_prob(value) + (0.7 if self.slate_size == 1 else 0.0)


class Independent(PlackettLuce):
    """Places drawn one by one, but counted as if nothing were taken out."""

    def log_prob(self, value):
        law = self.logits.log_softmax(-1).expand(*value.shape[:-1], -1)
        return (law.gather(-1, value.clamp_min(0)) * (value >= 0)).sum(-1)


class WrongForOne(Right):
    law = Law

    def distribution(self, state, slate_size=1):
        right = super().distribution(state, slate_size)
        return ItemSlates(self.law(right.columns.logits, state[Key.MASK], slate_size))


class WrongForPairs(WrongForOne):
    law = Independent


class Acting(Right):
    """One whose slates are changed by :meth:`change` afterwards."""

    def act(self, state, slate_size=1, deterministic=True):
        return self.change(super().act(state, slate_size, deterministic), deterministic)


class FillsEmptyPlaces(Acting):
    def change(self, state, deterministic):
        empty = state[Key.ACTION] == 0
        state[Key.ACTION] = state[Key.ACTION] + empty * (N * deterministic)
        return state


class WritesNothing(Acting):
    def change(self, state, deterministic):
        state[Key.LOG_PROBABILITY] = torch.zeros_like(state[Key.LOG_PROBABILITY])
        return state


class DrawsFlatter(Right):
    def act(self, state, slate_size=1, deterministic=True):
        right = self.distribution(state, slate_size)
        flat = ItemSlates(PlackettLuce(right.columns.logits / 3, may_be_shown(state), slate_size))
        slate = right.mode if deterministic else flat.sample()
        state[Key.LOG_PROBABILITY] = right.log_prob(slate)
        return state.set(Key.ACTION, slate)


class WorstFirst(Acting):
    def change(self, state, deterministic):
        slate = state[Key.ACTION]
        state[Key.ACTION] = slate.flip(1) if deterministic and (slate > 0).all() else slate
        return state


class AlwaysDraws(Right):
    def act(self, state, slate_size=1, deterministic=True):
        return super().act(state, slate_size, False)


class Learned(LearnedPolicy, Right):
    """A policy whose sessions have features: the step, and what was accepted of each slate."""

    feature_size = 2

    def session_features(self, state):
        step, accepted = state[Key.STEP].float(), state[Key.ACCEPTED_TOTAL]
        return torch.cat([step, self.share(accepted, step)], -1)

    def share(self, accepted, step):
        return accepted / step.clamp_min(1)


class FeaturesTooLong(Learned):
    feature_size = 3


class FeaturesOfNoSlate(Learned):
    def share(self, accepted, step):
        return accepted / step


class FeaturesOverTheBatch(Learned):
    def share(self, accepted, step):
        return accepted - accepted.mean()


class AllAlike(Scoring):
    def change(self, scores):
        return torch.where(scores > -torch.inf, 0 * self.bias, scores)


class UnregisteredTensor(Scoring):
    def __init__(self, num_items: int = N):
        super().__init__(num_items)
        self.shift = torch.randn(num_items + 1)

    def change(self, scores):
        return scores + self.shift


@pytest.mark.parametrize("right", [Right, Drawn, Learned, AllAlike])
def test_a_right_one_passes(right, failing):
    assert failing(PolicyChecks(right)) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (PaddingHasAScore, {"output as declared", "devices"}),
        (MeanOfNone, {"output as declared"}),
        (NothingIsAnItem, {"output as declared"}),
        (CountsPadding, {"padding"}),
        (CentredOverTheBatch, {"rows apart"}),
        (WrongForOne, {"probabilities"}),
        (WrongForPairs, {"probabilities", "frequencies"}),
        (FillsEmptyPlaces, {"valid slates"}),
        (WritesNothing, {"frequencies"}),
        (DrawsFlatter, {"frequencies"}),
        (WorstFirst, {"best first"}),
        (AlwaysDraws, {"best first"}),
        (FeaturesTooLong, {"session features"}),
        (FeaturesOfNoSlate, {"session features"}),
        (FeaturesOverTheBatch, {"session features"}),
        (UnregisteredTensor, {"saved"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(PolicyChecks(wrong)) == names


def test_broken_features_of_sessions_are_told_in_words():
    (check,) = (c for c in PolicyChecks(FeaturesTooLong) if c.name == "session features")
    with pytest.raises(ContractError) as raised:
        check()
    assert str(raised.value) == (
        "Critics read a row of `feature_size` finite float32 numbers for each session, the same in "
        "a batch and alone. They are (6, 2) torch.float32, not (6, 3). Set `feature_size` in the "
        "constructor, look for a division by a count that is 0 where a session or a history "
        "begins, and compute each row from itself."
    )


def test_why_a_check_does_not_apply():
    def told(policy):
        found = {check.name: check.outcome()[1] for check in PolicyChecks(policy)}
        return {name: why for name, why in found.items() if why}

    drawn = "Its scores are drawn anew each time."
    plain = "It is no LearnedPolicy, so that no critic reads features of it."
    assert told(Right) == {"session features": plain}
    assert told(Drawn) == {"rows apart": drawn, "deterministic": drawn, "session features": plain}
    assert told(AllAlike) == {"session features": plain}
    assert told(Learned) == {}
