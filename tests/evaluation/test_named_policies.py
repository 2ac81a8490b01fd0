"""Policies known by a word, and the search for the best constant list."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.evaluation.named_policies import Earnings, best_constant_lists
from lightrec.keys import Key
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture
from lightrec.ranking.blend import Blend
from lightrec.ranking.ranker import Ranker
from lightrec.simulators.rollout import judge
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel
from tests.simulators.tastes import fixed_tastes, starts_of

USERS = 200


@pytest.mark.parametrize("declined_count", [False, True])
def test_the_even_mixture_is_the_policy_with_one_for_its_weight(declined_count):
    ranker = Ranker(12, size=8, max_length=10).eval()
    torch.nn.init.normal_(ranker.items.ids)
    model = PooledChoice(12, 3, 5, records_nothing=declined_count)
    model.set_items(torch.randn(13, 3))
    policy = CandidatePolicy(ranker, model.eval(), history_length=5, size=0)
    policy.utility_weight.data.fill_(1.0)
    # 13 is a declined slate.
    history = torch.tensor([[0, 3, 13, 7, 13, 13, 2, 9], [1, 2, 3, 4, 5, 6, 7, 13]])
    mixture = Mixture.even(Blend(ranker), UserModel([model]))
    found, expected = (each.scores(history) for each in (mixture, policy))
    # The level of all items, which ranks nothing, is left out of the policy's scores.
    level = (found - expected)[:, 1:2]
    torch.testing.assert_close(found[:, 1:] - level, expected[:, 1:], atol=1e-5, rtol=1e-5)


def simulator(chances, allowed=None, kind=UserModelSimulator, **settings):
    """Users who accept each item with a chance of its own, whoever they are."""
    starts = starts_of([[]] * USERS, allowed=allowed)
    settings = {"leave_rate": 0.0, "max_steps": 4} | settings
    return kind(fixed_tastes(chances), starts, USERS, **settings)


def test_counts_by_hand():
    earnings = Earnings(4)
    steps = [  # slates, places taken, rewards, who is there
        ([[1, 2], [3, 0]], [[0, 1], [0, 0]], [1.0, -2.0], [True, True]),
        ([[3, 1], [4, 1]], [[1, 0], [1, 0]], [4.0, 8.0], [True, False]),
    ]
    for slate, taken, reward, alive in steps:
        state = TensorDict({Key.ACTION: torch.tensor(slate)}, [2])
        after = {Key.TAKEN: torch.tensor(taken).bool(), "reward": torch.tensor(reward)[:, None]}
        earnings(state, TensorDict(after, [2]), torch.tensor(alive))
    earnings.close()
    assert earnings.shown.tolist() == [0, 2, 1, 2, 0]
    a_step, rest = earnings.earned[:, 0]
    assert a_step.tolist() == [0, 0, 1, -2 + 4, 0]
    assert rest.tolist() == [0, 0, 1 + 4, -2 + 4, 0]
    mean, error = earnings.ranking(whole=False)
    # Five showings earned 3, so that two more at the mean earn 1.2.
    assert mean.tolist() == pytest.approx([0.6, 0.3, 2.2 / 3, 0.8, 0.6])
    spread = ((1 + 4 + 16) / 5 - 0.36) ** 0.5
    assert error[1].item() == pytest.approx(spread / 2)


def test_the_list_by_chance_is_found():
    chances = [0.1, 0.6, 0.2, 0.9, 0.1, 0.3, 0.1, 0.1, 0.75, 0.1]
    world, users = simulator(chances), torch.arange(USERS)
    found, lasting = best_constant_lists(world, users, 0)
    for sessions in judge({"found": found, "lasting": lasting}, world, users, [99]).values():
        assert sessions.reward.mean() == pytest.approx(0.9 + 0.75 + 0.6 + 0.3, abs=0.15)


def test_the_first_of_the_list_is_shown_over_and_over_where_it_may_be():
    world, users = simulator([0.1, 0.5, 0.8, 0.3], repeats=True), torch.arange(USERS)
    found, _ = best_constant_lists(world, users, 0, leaders=True)
    sessions = judge({"found": found}, world, users, [99])["found"]
    assert sessions.reward.mean() == pytest.approx(4 * 0.8, abs=0.15)
    assert sessions.coverage == 1 / 4


def test_a_search_never_shows_what_is_forbidden():
    """Users of even rows may not be shown item 4, which everybody else takes."""

    def allowed(users):
        open_ = torch.ones(len(users), 6, dtype=torch.bool)
        open_[users % 2 == 0, 4] = False
        return open_

    shown = []

    class Noted(UserModelSimulator):
        def respond(self, state, slate):
            shown.append(torch.stack([state[Key.USER][:, None].expand_as(slate), slate], 2))
            return super().respond(state, slate)

    world = simulator([0.1, 0.2, 0.3, 0.9, 0.1], allowed, kind=Noted, slate_size=2)
    users = torch.arange(USERS)
    searched = best_constant_lists(world, users, 0)
    judge(dict(enumerate(searched)), world, users, [99])
    user, item = torch.cat(shown).flatten(0, 1).T
    assert set(user[item == 4].tolist()) == set(range(1, USERS, 2))
