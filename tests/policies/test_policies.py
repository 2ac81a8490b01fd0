"""Policies: what they rank by, how they are saved, and what a learned one begins with."""

from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict

from lightrec.errors import PluginError
from lightrec.keys import Key
from lightrec.nn.best_slate import best_slate
from lightrec.policies.base import Policy, session_start, without_nothing
from lightrec.policies.baselines import ConstantListPolicy, GreedyRankerPolicy, RandomPolicy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.slate import SlatePolicy
from lightrec.ranking.ranker import Ranker
from lightrec.users.choice_model import PooledChoice, RecurrentChoice
from lightrec.users.user_model import UserModel

N = 12


@pytest.fixture(scope="module")
def ranker():
    torch.manual_seed(0)
    ranker = Ranker(N, size=8, max_length=10).eval()
    torch.nn.init.normal_(ranker.bias)
    torch.nn.init.normal_(ranker.items.ids)
    return ranker


def choice(kind=PooledChoice, **settings):
    torch.manual_seed(1)
    model = kind(N, 3, 5, **settings)
    model.set_items(torch.randn(N + 1, 3))
    torch.nn.init.normal_(model.bias)
    return model.eval()


def histories(rows=6, length=9, seed=0, top=N):
    generator = torch.Generator().manual_seed(seed)
    history = torch.randint(1, top + 1, (rows, length), generator=generator)
    empty = torch.randint(0, length, (rows, 1), generator=generator)
    return history * (torch.arange(length) >= empty)


@pytest.mark.parametrize("beta", [1.0, 2.5])
@pytest.mark.parametrize("knows", [False, True])
def test_untrained_it_ranks_exactly_as_the_encoder(ranker, beta, knows):
    policy = CandidatePolicy(ranker, choice() if knows else None, inverse_temperature=beta)
    history = histories()
    expected = ranker.scores(history)
    found = policy.scores(history)
    torch.testing.assert_close(found, beta * expected)
    assert torch.equal(found.argsort(), expected.argsort())
    greedy = GreedyRankerPolicy(ranker).scores(history)
    torch.testing.assert_close(greedy, expected)


def test_trust_adds_the_user_models_utility(ranker):
    for model in (choice(), choice(RecurrentChoice, records_nothing=False)):
        policy = CandidatePolicy(ranker, model)
        policy.utility_weight.data.fill_(0.7)
        history = histories()
        added = (policy.scores(history) - ranker.scores(history))[:, 1:]
        expected = 0.7 * model.utilities(model.state(history))[:, 1:]
        # Equal up to a number a row, which no choice depends on.
        difference = added - expected
        torch.testing.assert_close(difference, difference[:, :1].expand_as(difference))


def test_declined_slates_are_no_items():
    history = torch.tensor([[0, 3, 13, 4, 13], [13, 13, 0, 1, 2], [0, 0, 0, 0, 0]])
    assert without_nothing(history, N).tolist() == [[0, 0, 0, 3, 4], [0, 0, 0, 1, 2], [0] * 5]


def test_the_constant_list_is_ordered_by_acceptance():
    model = choice()
    history = histories(5)
    policy = ConstantListPolicy.from_user_model(UserModel([model]), history)
    expected = model.utilities(model.state(history)).sigmoid().mean(0)
    torch.testing.assert_close(policy.scores(history[:1])[0, 1:], expected[1:])


@pytest.mark.parametrize("deterministic", [True, False])
def test_random_slates_are_a_fair_draw(deterministic):
    torch.manual_seed(6)
    rows = 8000
    state = TensorDict(session_start(torch.zeros(rows, 1).long()), [rows])
    state[Key.MASK] = torch.tensor([False, True, True, False, True]).repeat(rows, 1)
    acted = RandomPolicy(4).act(state, 2, deterministic)
    slates = acted[Key.ACTION]
    counts = (slates[:, 0] * 5 + slates[:, 1]).bincount(minlength=25).float()
    seen = counts[counts > 0] / rows
    torch.testing.assert_close(seen, torch.full((6,), 1 / 6), atol=0.02, rtol=0)
    torch.testing.assert_close(acted[Key.LOG_PROBABILITY].exp(), torch.full((rows,), 1 / 6))


class Circle(Policy):
    """Shows items in a circle, and arranges slates backwards: a law of its own, without scores."""

    def distribution(self, state, slate_size=1):
        circle = (state[Key.HISTORY][:, -1:] + torch.arange(N)) % N + 1  # after the last one chosen
        slate = circle[:, :slate_size]
        law = lambda shown: torch.where((shown == slate).all(-1), 0.0, -torch.inf)  # noqa: E731
        return SimpleNamespace(mode=slate, sample=lambda: slate, log_prob=law)  # for certain

    def arrange(self, slate):
        return slate.flip(1)


def test_a_policy_needs_nothing_but_a_law():
    state = session_start(torch.tensor([[0, 3], [1, 11]]))
    for deterministic in (True, False):
        acted = Circle(N).act(dict(state), 3, deterministic)
        assert acted[Key.ACTION].tolist() == [[6, 5, 4], [2, 1, 12]]
        assert acted[Key.LOG_PROBABILITY].tolist() == [0, 0]
    scores = Circle(N).scores_in(state)
    assert scores.argsort(descending=True)[:, :3].tolist() == [[4, 5, 6], [12, 1, 2]]
    assert (scores[:, 0] == -torch.inf).all()


def policy_of(seed):
    torch.manual_seed(seed)
    policy = CandidatePolicy(Ranker(N, size=4), size=2, hidden=8)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    policy.freeze_items()
    return policy.eval().requires_grad_(False)


def test_a_slate_policy_shows_the_slate_of_largest_value():
    choices, valuing = policy_of(1), policy_of(2)
    policy = SlatePolicy(choices, valuing, slate_size=2).eval().requires_grad_(False)
    now = TensorDict(session_start(torch.randint(0, N + 2, (4, 5))), [4])
    now[Key.MASK] = (torch.arange(N + 1) > 0).repeat(4, 1)
    now[Key.MASK][0, 1:4] = False
    features = policy.session_features(now)
    values = (policy.level(features) + valuing.logits(now)).masked_fill(~now[Key.MASK], -torch.inf)
    taken, nothing = choices.logits(now), policy.nothing(features)
    shown = policy.act(now.clone(), 2)[Key.ACTION]
    assert torch.equal(shown, best_slate(values, taken, nothing, 2).columns)
    assert set(shown[0].tolist()) <= {*range(4, N + 1)}


class Scaled(RandomPolicy):
    """Keeps what only its constructor is given."""

    def __init__(self, num_items: int, scale=None, seed: int = 0):
        super().__init__(num_items)


def test_a_policy_that_would_be_loaded_without_an_argument_is_not_saved(tmp_path):
    Scaled(N, seed=3).save_pretrained(tmp_path / "plain")
    with pytest.raises(PluginError, match=r"Scaled of .* an argument scale that cannot be written"):
        Scaled(N, torch.ones(2)).save_pretrained(tmp_path / "lost")
    assert not (tmp_path / "lost").exists()
