"""The contracts, friends' tastes, what must not be shown, the reward, and who is shown."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_audit.exposure import events_of_providers
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_social.domain import SocialDomain
from lightrec_social.friends import FriendsTaste, friendships
from lightrec_social.reward import ExposureReward
from lightrec_testing import parametrize_checks, plugin_checks
from tensordict import TensorDict

from lightrec.data.audience import Audience
from lightrec.data.sequences import Sequences
from lightrec.errors import NotApplicable, RecipeError
from lightrec.keys import Key
from lightrec.ranking.item_models.base import Evidence

MODELS = "Popularity", "ItemKNN", "EASE", "WordNeighbours", "FriendsTaste"
MADE_UP = partial(made_up, "social", *MODELS)
PEOPLE = pl.DataFrame(
    {"user": ["a", "b", "c", "d"], "friends": [["b", "c", "x"], ["a"], None, ["b", "d"]]}
)


def forbidden(store):
    """Mark what users made themselves, and what people made whom they blocked."""
    makers = store.catalog["maker"].to_list()
    people = store.users.select("user", "blocked").rows()
    return np.array([[maker in (user, *blocked) for maker in makers] for user, blocked in people])


@parametrize_checks(
    plugin_checks("lightrec-social"),
    TruthChecks("social", MADE_UP, ahead=0.2, forbidden=forbidden),
)
def test_contract(check):
    check()


def evidence(users=PEOPLE):
    """Four people: one chose nothing, one items 1 and 2, one item 2, one item 3."""
    items, offsets = np.array([1, 2, 2, 3], np.int32), np.array([0, 0, 2, 3, 4])
    zeros = np.zeros(4, np.int64)
    log = Sequences(items, zeros.astype(np.int8), offsets, zeros)
    return Evidence(log, 3, torch.zeros(4, 0), users=users)


def test_friendships_go_either_way_and_leave_out_strangers():
    pairs = friendships(PEOPLE, "friends").tolist()
    assert pairs == [[0, 1], [0, 2], [1, 0], [1, 3], [2, 0], [3, 1]]
    with pytest.raises(NotApplicable, match="no lists 'friends' of users who are in the log"):
        FriendsTaste().fit(evidence(PEOPLE.drop("friends")))


def test_scores_by_hand():
    """The chain c – a – b – d: a and b have two friends each, c and d have one."""
    model = FriendsTaste(further=0.0, rarity=0.0).fit(evidence())
    history, everybody = torch.zeros(4, 1).long(), torch.arange(4)
    near = model.scores(history, everybody)
    root = 0.5**0.5
    # a's friends: b (weight 1 / 2, each of two events 1 / √2), and c (weight 1 / √2).
    assert near[0].tolist() == pytest.approx([0, 0.5 * root, 0.5 * root + root, 0])
    assert near[2].tolist() == [0, 0, 0, 0], "c's one friend chose nothing"
    model.further = 1.0
    further = model.scores(history, everybody)
    # c's friend's friend b, by way of a: 1 / √2 · 1 / 2; c itself does not count.
    assert further[2].tolist() == pytest.approx([0, root * 0.5 * root, root * 0.5 * root, 0])
    model.rarity = 1.0
    rare = further[0] / torch.tensor([1, 1, 2, 1])
    assert model.scores(history, everybody)[0].tolist() == pytest.approx(rare.tolist())
    assert not model.scores(history).any(), "nothing is known of a stranger's friends"


def test_nothing_of_ones_own_and_of_the_blocked():
    users = pl.DataFrame({"user": ["a", "b", None], "blocked": [["c"], None, []]})
    items = pl.DataFrame({"item": ["1", "2", "3", "4"], "maker": ["a", "c", "b", None]})
    audience = Audience(users=users, items=items, time=pl.Series([None] * 3))
    mask = SocialDomain().eligible(audience)
    assert mask.astype(int).tolist() == [[0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
    unknown = Audience(users=users, items=items.drop("maker"), time=audience.time)
    assert SocialDomain().eligible(unknown) is None


def test_reward():
    reward = ExposureReward(bonus=2.0)
    reward.bind(MADE_UP().context)
    makers, counts = events_of_providers(MADE_UP().store, "maker")
    action = torch.tensor([[1, 2], [3, 0]])
    taken = torch.tensor([[True, False], [True, False]])
    rewards = reward(TensorDict({Key.ACTION: action, Key.TAKEN: taken}, [2])).flatten()
    expected = [1 + 2 / (1 + counts[makers[item]]) ** 0.5 for item in (0, 2)]
    assert rewards.tolist() == pytest.approx(expected)
    with pytest.raises(RecipeError, match="bonus for seldom seen makers is -1"):
        ExposureReward(bonus=-1)
