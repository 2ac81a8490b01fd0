"""LinUCB and Thompson sampling against ridge regression in closed form."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.plackett_luce import may_be_shown
from lightrec.policies.bandits import LinUCB, ThompsonSampling, principal
from lightrec.policies.base import session_start
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.simulators.rollout import play
from lightrec.testing.simulators import TinyWorld

N, SIZE = 30, 3


def vectors():
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.pad(torch.randn(N, SIZE, generator=generator), (0, 0, 1, 0))


def rows(bandit, count=200):
    """Features and answers of a linear law with noise."""
    torch.manual_seed(1)
    contexts = torch.randn(count, bandit.context_size)
    features = bandit.features(contexts, torch.randint(1, N + 1, (count,)))
    truth = torch.randn(features.shape[1], dtype=torch.float64)
    return features, features @ truth + 0.1 * torch.randn(count, dtype=torch.float64)


def learned(cls=LinUCB, **settings):
    bandit = cls.from_vectors(vectors(), **settings)
    bandit.update(*rows(bandit))
    return bandit


def test_features_are_the_outer_product():
    bandit = LinUCB.from_vectors(vectors(), observation_size=2)
    context = torch.randn(1, SIZE + 2)
    one = torch.ones(1)
    wanted = torch.kron(torch.cat([one, context[0]]), torch.cat([one, bandit.item_vectors[7]]))
    torch.testing.assert_close(bandit.features(context, torch.tensor([7]))[0], wanted.double())


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
    found = bandit.logits(state)
    for row in range(4):
        phi = bandit.features(contexts[row].expand(N, -1), torch.arange(1, N + 1))
        width = ((phi @ torch.linalg.inv(bandit.precision)) * phi).sum(1).sqrt()
        torch.testing.assert_close(found[row, 1:], (phi @ bandit.mean + 1.5 * width).float())
    assert (found[:, 0] == -torch.inf).all()


def test_draws_have_the_posteriors_moments():
    bandit = learned(ThompsonSampling, spread=0.3, history_length=0)
    torch.manual_seed(2)
    draws = bandit.draws(40_000)
    deviation = 0.3 * bandit.covariance.diagonal().sqrt()
    assert ((draws.mean(0) - bandit.mean).abs() / deviation).max() < 5 / 200
    # In units of the posterior the covariance is 1, each entry known to about 1/200.
    whitened = (draws - bandit.mean) @ torch.linalg.cholesky(bandit.precision) / 0.3
    unit = torch.eye(SIZE + 1, dtype=torch.float64)
    torch.testing.assert_close(whitened.T.cov(), unit, atol=0.04, rtol=0)


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


def test_an_offer_is_scored_as_the_whole_catalog_is():
    bandit = learned()
    torch.manual_seed(5)
    offered = torch.stack([torch.randperm(N)[:6] + 1 for _ in range(4)])
    offered[0, 4:] = 0
    whole = TensorDict(
        {
            Key.HISTORY: torch.randint(1, N + 1, (4, 5)),
            Key.STEP: torch.zeros(4, 1, dtype=torch.int64),
            Key.ACCEPTED_TOTAL: torch.zeros(4, 1),
        },
        batch_size=[4],
    )
    few = whole.clone().set(Key.CANDIDATES, offered)
    mask = torch.zeros(4, N + 1, dtype=torch.bool).scatter(1, offered, True)
    mask[:, 0] = False
    whole[Key.MASK] = mask
    one, other = bandit.distribution(few, 3), bandit.distribution(whole, 3)
    assert torch.equal(one.mode, other.mode)
    wanted = bandit.logits(whole).gather(1, offered)
    torch.testing.assert_close(bandit.logits(few)[offered > 0], wanted[offered > 0])
    assert may_be_shown(one.columns.logits).tolist() == (offered > 0).tolist()
    slates = one.sample()
    torch.testing.assert_close(one.log_prob(slates), other.log_prob(slates))
    elsewhere = slates.clone()
    elsewhere[:, 0] = next(i for i in range(1, N + 1) if i not in offered[1])
    assert one.log_prob(elsewhere)[1] == -torch.inf


def test_principal_components_are_white_and_keep_the_space():
    table = torch.nn.functional.pad(torch.randn(50, 4) @ torch.randn(4, 7), (0, 0, 1, 0))
    found = principal(table, 10)
    assert found.shape == (51, 4)
    assert not found[0].any()
    torch.testing.assert_close(found[1:].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1:].T.cov(correction=0), torch.eye(4), atol=1e-4, rtol=0)
    centred = table[1:] - table[1:].mean(0)
    residual = centred - found[1:] @ torch.linalg.lstsq(found[1:], centred).solution
    assert residual.abs().max() < 1e-3


def test_impossible_settings_are_refused():
    with pytest.raises(RecipeError, match=r"ridge=0.* give positive numbers"):
        LinUCB(N, SIZE, ridge=0.0)
    with pytest.raises(RecipeError, match="'click' or 'reward'"):
        ThompsonSampling(N, SIZE, learned="likes")
