"""The contracts, words, the synthetic log, the reward, and what lists hold of what was played."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_music.domain import MusicDomain
from lightrec_music.familiarity import DiscoveryReward, liked, marked
from lightrec_testing import parametrize_checks, plugin_checks
from tensordict import TensorDict

from lightrec.data.audience import Audience, Past
from lightrec.errors import RecipeError
from lightrec.keys import Key

MADE_UP = partial(made_up, "music", "Popularity", "ItemKNN", "EASE", "RepeatConsumption")


def forbidden(store):
    """Mark explicit tracks for those who want none, those of another country, and the banned."""
    users, tracks = store.users, store.catalog
    licensed = tracks["territories"].fill_null(value=[]).to_list()
    abroad = [[bool(only) and at not in only for only in licensed] for at in users["country"]]
    banned = np.zeros((store.num_users, store.num_items), bool)
    where = np.asarray(store.feedback) == 1 + store.feedback_kinds.index("ban")
    owners = np.repeat(np.arange(store.num_users), np.diff(store.offsets))
    banned[owners[where], np.asarray(store.items)[where] - 1] = True
    explicit = ~users["explicit"].to_numpy()[:, None] & tracks["explicit"].to_numpy()
    return explicit | abroad | banned


@parametrize_checks(
    plugin_checks("lightrec-music"),
    TruthChecks("music", MADE_UP, ahead=0.2, forbidden=forbidden),
)
def test_contract(check):
    check()


def test_words_and_worths():
    items = {"title": ["Army of Me"], "artist": "Björk", "tags": [["pop", "odd"]], "plays": 3}
    texts = MusicDomain().text(pl.DataFrame(items))
    assert texts.to_list() == ["Army of Me. Artist: Björk. Tags: pop, odd"]
    worths = MusicDomain().weights(["play", "skip", "ban", "love"])
    assert worths == {"play": 1.0, "skip": -1.0, "ban": -1.0, "love": 2.0}


def test_what_was_banned_does_not_come_again():
    events = {Key.HISTORY: np.array([[1, 2, 3]]), Key.FEEDBACK: np.array([[1, 2, 0]])}
    tables = {"users": pl.DataFrame({"user": ["a"]}), "items": pl.DataFrame({"item": [*"wxyz"]})}
    past = Past.of(events, ["ban", "play"])  # the third is of no known kind
    allowed = MusicDomain().eligible(Audience(**tables, time=pl.Series([None]), past=past))
    assert allowed.tolist() == [[False, True, True, True]]


def test_reward():
    history, slate = torch.tensor([[0, 0, 7, 3, 4]] * 4), torch.tensor([[7], [9], [4], [9]])
    taken = torch.tensor([[True], [True], [True], [False]])
    transition = TensorDict({Key.HISTORY: history, Key.ACTION: slate, Key.TAKEN: taken}, [4])
    reward = DiscoveryReward(discovery=3.0, tired=0.5, rest=2)
    assert reward(transition).flatten().tolist() == [1.0, 3.0, 0.5, 0.0]
    assert DiscoveryReward(rest=0)(transition).flatten().tolist() == [1.0, 2.0, 1.0, 0.0]
    with pytest.raises(RecipeError, match="rest is -1"):
        DiscoveryReward(rest=-1)


def test_a_skip_makes_nothing_familiar():
    store = MADE_UP().store
    kinds = dict(zip(["nothing", *store.feedback_kinds], liked(store).tolist(), strict=True))
    assert kinds == {"nothing": True, "play": True, "skip": False, "ban": False}
    play, skip = (1 + store.feedback_kinds.index(kind) for kind in ("play", "skip"))
    history, feedback = torch.tensor([[[0, 2, 1, 2]], [[0, skip, skip, play]]])
    batch = {Key.HISTORY: history, Key.FEEDBACK: feedback}
    seen, played = marked(batch, torch.tensor([[1, 2, 3, 0]]), liked(store))
    assert seen.tolist() == [[True, True, False, False]]
    assert played.tolist() == [[False, True, False, False]]
