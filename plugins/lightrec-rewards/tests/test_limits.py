"""Limits: measures by hand, prices that come to rest where the theory says, and what is judged."""

import polars as pl
import pytest
import torch
from lightrec_rewards.limits import (
    DAMPING,
    RECENT,
    ConstrainedReward,
    EqualExposure,
    FewRepeats,
    NewItems,
    Variety,
)
from tensordict import TensorDict

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.rewards.accepted import EngagementReward
from lightrec.rewards.base import RewardContext

ITEMS = pl.DataFrame({"maker": ["a", "a", "b", "c", None]})


class Log:
    """What limits read of a log."""

    catalog = ITEMS

    def popularity(self):
        return torch.tensor([0, 60, 20, 10, 5, 5]).numpy()


def context():
    return RewardContext(store=Log())


def slates(slate, history=((0, 0, 0),)):
    slate, history = torch.tensor(slate), torch.tensor(history)
    data = {Key.ACTION: slate, Key.HISTORY: history.expand(len(slate), -1)}
    return TensorDict(data | {Key.TAKEN: torch.zeros_like(slate, dtype=torch.bool)}, [len(slate)])


def test_exposure_is_due_by_worth_and_measured_by_slate():
    limit = EqualExposure("maker", tolerance=0.1)
    limit.bind(context())
    # a has 80 events, b 10, c 5, and item 5 is its own maker.
    torch.testing.assert_close(limit.least, 0.9 * torch.tensor([0.8, 0.1, 0.05, 0.05]))
    shares = limit(slates([[1, 2], [3, 0], [4, 5]]))
    expected = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5]])
    torch.testing.assert_close(shares, expected)
    by_items = EqualExposure("maker", "items", 0.0)
    by_items.bind(RewardContext(items=ITEMS))
    torch.testing.assert_close(by_items.least, torch.tensor([0.4, 0.2, 0.2, 0.2]))


def test_new_items_repeats_and_variety_are_shares_of_what_is_shown():
    new, repeats, variety = NewItems(0.3, few=5), FewRepeats(0.25), Variety("maker", 0.5, window=2)
    for limit in (new, repeats, variety):
        limit.bind(context())
    rows = slates([[1, 4], [4, 0], [2, 3]], [[3, 0, 1]])
    assert new(rows).squeeze(1).tolist() == [0.5, 1.0, 0.0]
    # Items 1 and 3 are in the history.
    assert repeats(rows).squeeze(1).tolist() == [0.5, 1.0, 0.5]
    # Of the last two items one is item 1, of maker a; nothing has no maker.
    assert variety(rows).squeeze(1).tolist() == [0.5, 1.0, 0.5]
    assert [float(x.least) for x in (new, repeats, variety)] == pytest.approx([0.3, 0.75, 0.5])


def test_prices_are_what_a_slate_of_one_adds_to_the_reward():
    limits = EqualExposure("maker"), NewItems(0, few=5), FewRepeats(), Variety("maker", window=2)
    for limit in limits:
        limit.bind(context())
        limit.price.copy_(torch.linspace(0.5, 2.0, len(limit.price)))
        state = slates([[1], [2]], [[3, 0, 1], [2, 5, 0]]).set(Key.MASK, torch.ones(2, 6).bool())
        for item in range(1, 6):
            added = limit(state.set(Key.ACTION, torch.full((2, 1), item))) @ limit.price
            torch.testing.assert_close(limit.prices(state)[:, item], added)


def test_prices_move_in_training_alone_and_never_below_zero():
    limit = NewItems(0.5)
    reward = ConstrainedReward(EngagementReward(), [limit], rate=0.1, largest=0.12)
    reward.bind(context())
    rows = slates([[1]])  # 60 events: not new
    assert float(reward(rows)) == 0.0  # the price was 0
    price = 0.1 * 0.5 + 0.1 * DAMPING * 0.5 / RECENT
    assert float(limit.price) == pytest.approx(min(0.12, price))
    assert float(limit.total) == pytest.approx(0.05)
    reward.eval()
    assert float(reward(rows)) == pytest.approx(float(limit.price) * -0.5)
    assert float(limit.total) == pytest.approx(0.05)
    reward.train()
    for _ in range(5):
        reward(rows)
    assert float(limit.total) == float(limit.price) == pytest.approx(0.12)
    for _ in range(100):
        reward(slates([[4]]))
    assert float(limit.price) == 0.0


def test_a_policy_is_judged_by_what_it_keeps():
    reward = ConstrainedReward(EngagementReward(), [NewItems(0.5)], largest=8.0)
    reward.bind(context())
    watcher = reward.watcher()
    alive = torch.tensor([True, True, False])
    watcher(slates([[1], [4], [4]]), TensorDict({}, [3]), alive)
    watcher(slates([[1], [1], [4]]), TensorDict({}, [3]), alive)
    judged = watcher.judged({"return": 3.0, "length": 2.0})
    # One of four places was new: .25 short in each of two steps, at the price 8.
    assert judged == pytest.approx(
        {"return": -1.0, "return_alone": 3.0, "length": 2.0, "short": 0.25}
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EqualExposure("maker", "stars"), "worth is 'stars'"),
        (lambda: NewItems(1.5), "least is 1.5"),
        (lambda: ConstrainedReward(EngagementReward(), []), "0 limits"),
        (lambda: ConstrainedReward(EngagementReward(), [NewItems()], rate=0), "positive"),
    ],
)
def test_settings_out_of_range_are_refused(make, words):
    with pytest.raises(RecipeError, match=words):
        make()
