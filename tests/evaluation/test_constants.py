"""The best list for everybody: counts by hand, and lists whose worth is known."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.evaluation.constants import ConstantList, Tally, best_constant_lists, rounds
from lightrec.keys import Key
from lightrec.simulators.rollout import judge
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.testing.simulators import TinyWorld
from lightrec.users.choice_model import PooledChoice
from lightrec.users.user_model import UserModel

USERS = 200


def simulator(chances, **settings):
    """Users who accept each item with a chance of its own, whoever they are."""
    items = len(chances)
    model = PooledChoice(items, 1, 4, pools=1, feature_size=2, hidden_size=2, records_nothing=False)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.bias.data[1:] = torch.tensor(chances).logit()
    starts = LogStarts(torch.zeros(USERS + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    settings = {"leave_rate": 0.0, "max_steps": 4} | settings
    return UserModelSimulator(UserModel([model.eval()]), starts, USERS, **settings)


def test_a_list_shows_its_best_of_what_may_be_shown():
    policy = ConstantList(torch.tensor([9.0, 1.0, 3.0, 2.0]))
    state = {
        Key.HISTORY: torch.zeros(3, 2, dtype=torch.int64),
        Key.MASK: torch.tensor([[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]).bool(),
    }
    shown = policy.act(TensorDict(state, [3]), 2)[Key.ACTION]
    assert shown.tolist() == [[2, 3], [3, 1], [3, 0]]
    state.pop(Key.MASK)
    state[Key.CANDIDATES] = torch.tensor([[3, 1, 2], [1, 3, 0], [1, 0, 0]])
    shown = policy.act(TensorDict(state, [3]), 2)[Key.ACTION]
    assert shown.tolist() == [[2, 3], [3, 1], [1, 0]]
    assert policy.user_vectors(torch.zeros(3, 2)).shape == (3, 0)


def test_counts_by_hand():
    tally = Tally(4)
    steps = [  # slates, places taken, rewards, who is there
        ([[1, 2], [3, 0]], [[0, 1], [0, 0]], [1.0, -2.0], [True, True]),
        ([[3, 1], [4, 1]], [[1, 0], [1, 0]], [4.0, 8.0], [True, False]),
    ]
    for slate, taken, reward, alive in steps:
        state = TensorDict({Key.ACTION: torch.tensor(slate)}, [2])
        after = {
            Key.TAKEN: torch.tensor(taken).bool(),
            "reward": torch.tensor(reward)[:, None],
        }
        tally(state, TensorDict(after, [2]), torch.tensor(alive))
    tally.close()
    assert tally.shown.tolist() == [0, 2, 1, 2, 0]
    a_step, rest = tally.earned[:, 0]
    assert a_step.tolist() == [0, 0, 1, -2 + 4, 0]
    assert rest.tolist() == [0, 0, 1 + 4, -2 + 4, 0]
    assert (tally.lowest, tally.highest) == (-2, 4)
    mean, error = tally.ranking(whole=False)
    # Five showings earned 3, so that two more at the mean earn 1.2.
    assert mean.tolist() == pytest.approx([0.6, 0.3, 2.2 / 3, 0.8, 0.6])
    spread = ((1 + 4 + 16) / 5 - 0.36) ** 0.5
    assert error[1].item() == pytest.approx(spread / 2)


def test_the_list_by_chance_is_found_and_no_play_is_uncounted():
    chances = [0.1, 0.6, 0.2, 0.9, 0.1, 0.3, 0.1, 0.1, 0.75, 0.1]
    world, told = simulator(chances), []
    users = torch.arange(USERS)
    found, lasting = best_constant_lists(world, users, 0, progress=lambda: told.append(1))
    assert len(told) == rounds(0, False, 10)
    earned = judge({"found": found, "lasting": lasting}, world, users, [99])
    for sessions in earned.values():
        assert sessions.reward.mean() == pytest.approx(0.9 + 0.75 + 0.6 + 0.3, abs=0.15)


def test_the_first_of_the_list_is_shown_over_and_over_where_it_may_be():
    world, told = simulator([0.1, 0.5, 0.8, 0.3], repeats=True), []
    users = torch.arange(USERS)
    found, _ = best_constant_lists(world, users, 0, leaders=True, progress=lambda: told.append(1))
    assert len(told) == rounds(0, True, 4)
    sessions = judge({"found": found}, world, users, [99])["found"]
    assert sessions.reward.mean() == pytest.approx(4 * 0.8, abs=0.15)
    assert sessions.coverage == 1 / 4


def test_lists_from_elsewhere_are_tried_and_offers_are_played():
    world = TinyWorld(USERS, repeats=True)
    users, told = torch.arange(USERS), []
    known = {"popularity": ConstantList(torch.arange(13.0))}
    best_constant_lists(world, users, 0, known=known, progress=lambda: told.append(1))
    assert len(told) == rounds(1, False, 12)
