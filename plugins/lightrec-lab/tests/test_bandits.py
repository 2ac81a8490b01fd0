"""LinUCB and Thompson sampling against ridge regression in closed form."""

from functools import partial

import pytest
import torch
from lightrec_lab import bandits
from lightrec_lab.bandits import LinUCB, ThompsonSampling
from lightrec_testing import PolicyChecks, parametrize_checks
from lightrec_testing.invariants import seeded
from lightrec_testing.simulators import TinyWorld
from lightrec_worlds.long_term_satisfaction import LongTermSatisfaction
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.evaluation.named_policies import world_policies
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.simulators.rollout import play

N, SIZE = 30, 3


def vectors():
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.pad(torch.randn(N, SIZE, generator=generator), (0, 0, 1, 0))


def rows(bandit, count=200):
    """Features and answers of a linear law with noise."""
    with seeded(1):
        contexts = torch.randn(count, bandit.context_size)
        features = bandit.features(contexts, torch.randint(1, N + 1, (count,)))
        truth = torch.randn(features.shape[1], dtype=torch.float64)
        return features, features @ truth + 0.1 * torch.randn(count, dtype=torch.float64)


def learned(cls=LinUCB, **settings):
    bandit = cls.from_vectors(vectors(), **settings)
    bandit.update(*rows(bandit))
    return bandit


def test_batches_come_to_ridge_regression():
    bandit = LinUCB.from_vectors(vectors(), ridge=0.7)
    features, answers = rows(bandit)
    for part in torch.arange(200).split(33):
        bandit.update(features[part], answers[part])
    # Least squares with rows that say 0 of each coefficient, an independent solver.
    size = features.shape[1]
    extra = 0.7**0.5 * torch.eye(size, dtype=torch.float64)
    stacked = torch.cat([features, extra])
    wanted = torch.linalg.lstsq(stacked, torch.cat([answers, answers.new_zeros(size)])).solution
    torch.testing.assert_close(bandit.mean, wanted)


def test_upper_bounds_are_those_of_the_closed_form():
    bandit = learned(alpha=1.5, observation_size=2, inverse_temperature=1.0)
    contexts = torch.randn(4, SIZE + 2)
    state = session_start(torch.zeros(4, 1, dtype=torch.int64))
    state[Key.USER_VECTOR], state[Key.OBSERVATION] = contexts, contexts[:, SIZE:]
    bounds = bandit.logits(state)
    for row in range(4):
        phi = bandit.features(contexts[row].expand(N, -1), torch.arange(1, N + 1))
        width = ((phi @ torch.linalg.inv(bandit.precision)) * phi).sum(1).sqrt()
        torch.testing.assert_close(bounds[row, 1:], (phi @ bandit.mean + 1.5 * width).float())
    assert (bounds[:, 0] == -torch.inf).all()


def test_thompson_shows_an_item_as_often_as_it_is_the_best():
    """Two items without context: the probability that one normal number exceeds another."""
    line = torch.tensor([[0.0], [-1.0], [1.0]])
    bandit = ThompsonSampling.from_vectors(line, history_length=0, spread=1.0)
    phi = bandit.features(torch.zeros(3, 0), torch.tensor([1, 2, 2]))
    bandit.update(phi, torch.tensor([0.2, 0.6, 0.1]))
    gap = phi[1] - phi[0]
    mean, deviation = gap @ bandit.mean, (gap @ bandit.covariance @ gap).sqrt()
    state = TensorDict(
        {
            Key.HISTORY: torch.zeros(20_000, 2, dtype=torch.int64),
            Key.MASK: torch.tensor([False, True, True]).expand(20_000, -1),
            Key.STEP: torch.zeros(20_000, 1, dtype=torch.int64),
            Key.ACCEPTED_TOTAL: torch.zeros(20_000, 1),
        },
        batch_size=[20_000],
    )
    torch.manual_seed(3)
    shown = bandit.act(state, 1)[Key.ACTION].squeeze(1)
    wanted = torch.special.ndtr(mean / deviation).item()
    assert (shown == 2).float().mean().item() == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("learn_from", ["click", "reward"])
def test_play_teaches_it_what_was_shown_and_answered(learn_from):
    world = TinyWorld(50, slate_size=2)
    bandit = LinUCB.from_vectors(world.item_vectors, observation_size=1, learned=learn_from)
    noted = []

    def record(state, following, alive):
        noted.append((bandit.contexts(state)[alive], state[alive], following[alive]))
        bandit.learn(state, following, alive)

    torch.manual_seed(4)
    player = EpsilonGreedy(bandit, 0.5)
    for seed in range(2):
        play(player, world, torch.arange(50), seed, deterministic=False, record=record)
    features, answers = [], []
    for contexts, state, following in noted:
        for place in range(2):
            items = state[Key.ACTION][:, place]
            features.append(bandit.features(contexts, items))
            answer = following[Key.TAKEN][:, place].float()
            answers.append(answer * (1 if learn_from == "click" else following["reward"][:, 0]))
    features, answers = torch.cat(features), torch.cat(answers).double()
    assert answers.unique().numel() > 1
    precision = features.T @ features + torch.eye(features.shape[1], dtype=torch.float64)
    torch.testing.assert_close(bandit.precision, precision)
    torch.testing.assert_close(bandit.mean, torch.linalg.solve(precision, features.T @ answers))
    # What is observed is part of the context, and what was chosen makes up the rest.
    assert noted[1][0][:, -1].unique().tolist() == [0, 1]
    assert not noted[0][0].any()
    assert noted[-1][0][:, :-1].any()


def test_impossible_settings_are_refused():
    with pytest.raises(RecipeError, match=r"ridge=0.* give positive numbers"):
        LinUCB(N, SIZE, ridge=0.0)


def test_bandits_known_by_a_word_have_learned_always_in_the_same_sessions(monkeypatch):
    monkeypatch.setattr(bandits, "ROUNDS", 2)
    monkeypatch.setattr(bandits.TaughtLinUCB, "settings", {"learned": "reward"})
    world = LongTermSatisfaction(100, num_items=100, time_budget=10, sensitivity=0.0)
    words, before = world_policies(world), torch.random.get_rng_state()
    assert torch.equal(words["thompson"]().precision, words["thompson"]().precision)
    assert torch.equal(torch.random.get_rng_state(), before)


@parametrize_checks(
    PolicyChecks(learned, "LinUCB-learned"),
    PolicyChecks(partial(learned, ThompsonSampling), "ThompsonSampling-learned"),
    PolicyChecks(lambda: EpsilonGreedy(learned(), 0.3), "EpsilonGreedy-around-a-bandit"),
)
def test_contract_of_bandits_that_have_learned(check):
    check()
