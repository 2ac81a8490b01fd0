"""Contenders known by a word: that they learned, and that they are judged as they explore."""

import pytest
import torch

from lightrec.evaluation import contenders
from lightrec.evaluation.arena import arena
from lightrec.evaluation.contenders import even_mixture
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.blend import Blend
from lightrec.ranking.ranker import Ranker
from lightrec.simulators.rollout import judge
from lightrec.simulators.worlds.long_term_satisfaction import LongTermSatisfaction
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(contenders, "ROUNDS", 2)


def test_bandits_learn_what_earns_now():
    """By reward in a world without memory: chocolate, as who knows the laws would show it."""
    world = LongTermSatisfaction(100, num_items=100, time_budget=10, sensitivity=0.0)
    words = contenders.world_contenders(world, "reward")
    names = ["random", "greedy", "linucb", "thompson", "epsilon-greedy"]
    made = {name: words[name]() for name in names}
    users = torch.arange(100)
    shown = {name: [] for name in names}
    for name, contender in made.items():

        def note(state, following, alive, to=shown[name]):
            to.append(world.score[state[Key.ACTION]].mean().item())

        judge({name: contender}, world, users, [0], record=lambda _, note=note: note)
    chocolate = {name: sum(values) / len(values) for name, values in shown.items()}
    assert chocolate["greedy"] > 0.85
    assert chocolate["random"] == pytest.approx(0.5, abs=0.03)
    for name in ("linucb", "thompson"):
        assert chocolate[name] > 0.75
    # One slate in ten is drawn evenly, when it is judged too.
    assert 0.7 < chocolate["epsilon-greedy"] < chocolate["greedy"] - 0.02


def test_the_same_word_gives_the_same_bandit():
    world = LongTermSatisfaction(20, num_items=20, time_budget=4)
    words = contenders.world_contenders(world)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = words["thompson"]()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first.precision, words["thompson"]().precision)


def test_a_runs_bandits_learn_in_user_model_a(tiny_run):
    on = arena(str(tiny_run), 20, 0, {"max_steps": 5})
    for word in ("epsilon-greedy", "linucb", "thompson"):
        assert on.play(on.policy(word), 20, seed=0).reward.shape == (1, 20)
    bandit = on.policy("linucb")
    # Every step of a session is a row: the corner of the precision counts those with a one.
    assert bandit.precision[0, 0].item() > 1 + 2 * 20
    assert not torch.equal(bandit.mean, torch.zeros_like(bandit.mean))


@pytest.mark.parametrize("declined_count", [False, True])
def test_the_even_mixture_is_the_policy_with_one_for_its_weight(declined_count):
    torch.manual_seed(0)
    ranker = Ranker(12, size=8, max_length=10).eval()
    torch.nn.init.normal_(ranker.items.ids)
    model = PooledChoice(12, 3, 5, records_nothing=declined_count)
    model.set_items(torch.randn(13, 3))
    policy = CandidatePolicy(ranker, model.eval(), history_length=5, size=0)
    policy.utility_weight.data.fill_(1.0)
    # 13 is a declined slate.
    history = torch.tensor([[0, 3, 13, 7, 13, 13, 2, 9], [1, 2, 3, 4, 5, 6, 7, 13]])
    found, expected = (
        each.scores(session_start(history))
        for each in (even_mixture(Blend(ranker).freeze(), UserModel([model])), policy)
    )
    # The level of all items, which ranks nothing, is left out of the policy's scores.
    level = (found - expected)[:, 1:2]
    torch.testing.assert_close(found[:, 1:] - level, expected[:, 1:], atol=1e-5, rtol=1e-5)
