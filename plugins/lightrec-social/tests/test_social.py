"""The contracts, the files of published sets, what must not be shown, and the reward."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_audit.exposure import events_of_providers
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_social.circles import circle
from lightrec_social.domain import SocialDomain
from lightrec_social.readers import NetworkSets
from lightrec_social.reward import ExposureReward
from lightrec_testing import parametrize_checks, plugin_checks
from tensordict import TensorDict

from lightrec.data.audience import Audience
from lightrec.errors import RecipeError
from lightrec.keys import Key

MODELS = "Popularity", "ItemKNN", "EASE", "WordNeighbours"
MADE_UP = partial(made_up, "social", *MODELS)


def forbidden(store):
    """Mark what users made themselves, what blocked people made, and what is over."""
    makers = store.catalog["maker"].to_list()
    people = store.users.select("user", "blocked").rows()
    own = np.array([[maker in (user, *blocked) for maker in makers] for user, blocked in people])
    now = np.asarray(store.times)[np.asarray(store.offsets[1:]) - 1][:, None]
    begin, end = (store.catalog[n].dt.epoch("ms").to_numpy() for n in ("created", "expires"))
    return own | (now < begin) | (now > end)


@parametrize_checks(
    plugin_checks("lightrec-social"),
    TruthChecks("social", MADE_UP, ahead=0.2, forbidden=forbidden),
)
def test_contract(check):
    check()


def test_nothing_of_ones_own_and_of_the_blocked():
    users = pl.DataFrame({"user": ["a", "b", None], "blocked": [["c"], None, []]})
    items = pl.DataFrame({"item": ["1", "2", "3", "4"], "maker": ["a", "c", "b", None]})
    audience = Audience(users=users, items=items, time=pl.Series([None] * 3))
    mask = SocialDomain().eligible(audience)
    assert mask.astype(int).tolist() == [[0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
    unknown = Audience(users=users, items=items.drop("maker"), time=audience.time)
    assert SocialDomain().eligible(unknown) is None


def test_exposure_of_friends_and_strength_of_their_ties():
    users = pl.DataFrame({"user": list("abc"), "friends": [["b", "c", "d"], None, ["a", "d"]]})
    items = pl.DataFrame({"item": ["1", "2", "3"], "maker": ["a", "c", None]})
    store = SimpleNamespace(users=users, catalog=items)
    lists = torch.tensor([[1, 2, 3], [1, 2, 0], [0, 0, 0]])  # for a, b and again a
    found = circle(store, torch.tensor([0, 1, 0]), lists)  # of others than a and c: d, not b
    assert found == pytest.approx({"friends": 1 / (2 * (np.log2(3) + 1)), "ties": 1 / 2})


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


def test_the_real_sets(lightrec_data):
    tables = NetworkSets().read(lightrec_data / "ciaodvd")
    assert (len(tables.log), tables.log.events["user"].n_unique()) == (72_665, 17_615)
    assert len(tables.catalog.rows) == 16_121
    assert tables.users.rows["friends"].list.len().sum() == 40_133
    friends = NetworkSets().read(lightrec_data / "hetrec2011-lastfm-2k" / "user_friends.dat")
    assert (len(friends.log), len(friends.catalog.rows)) == (25_434, 1_892)
