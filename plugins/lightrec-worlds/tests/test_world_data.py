"""Worlds as data of policies: what may be seen of items, as vectors or as texts."""

import pytest
import torch
from lightrec_worlds.greed import Greed
from lightrec_worlds.tower import TowerPolicy
from lightrec_worlds.world_data import WorldData

from lightrec.encoders.base import Encoder
from lightrec.errors import RecipeError
from lightrec.keys import Column, Key
from lightrec.learners.transitions import PACKED, unpack
from lightrec.policies.base import Policy


class Lengths(Encoder):
    """How many letters a text has, and how many words."""

    size = 2

    def encode(self, texts):
        return torch.tensor([[len(text), len(text.split())] for text in texts]).float()


def test_titles_and_texts_stand_side_by_side():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Lengths())
    items = data.make(1).catalog().rows
    assert data.vector_size == 4
    assert data.vectors.shape == (1001, 4)
    assert not data.vectors[0].any()
    title, text = items[Column.TITLE][6], items[Column.TEXT][6]
    sentences = text.replace(". ", ".\n").split("\n")
    assert len(sentences) == 3
    wanted = torch.cat([Lengths().encode([title])[0], Lengths().encode(sentences).mean(0)])
    torch.testing.assert_close(data.vectors[7], wanted)


def world_data(settings=None, **more):
    return WorldData("Greed", settings, **{"iterations": 3, "judging": 4, "behavior": {}, **more})


def test_a_log_holds_whole_sessions_and_exact_propensities():
    weights = {"greedy": 0.5, "quality": 2.0}
    rows = world_data(behavior=weights, logged_sessions=5, settings={"max_steps": 8}).log()
    following, world = rows["next"], Greed(1)
    last = following["done"].squeeze(1)
    # Each session is whole: it begins with step 0, and the next one's follows its end.
    assert int(last.sum()) == 5
    assert last[-1]
    first = torch.cat([torch.ones(1, dtype=torch.bool), last[:-1]])
    assert torch.equal(rows[Key.STEP].squeeze(1) == 0, first)
    assert (following["terminated"] != following["done"]).any()
    seen, after = rows[Key.OBSERVATION], following[Key.OBSERVATION]
    assert torch.equal(seen[1:][~last[:-1]], after[:-1][~last[:-1]])
    # The law by hand, from what policies see.
    liked, sated = seen[:, :16] @ world.direction.T, seen[:, 16:32] @ world.direction.T
    attraction = 4 * liked + 1.5 * world.bait - 2 - 3 * sated.clamp_min(0)
    logits = 0.5 * attraction + 2.0 * world.quality
    allowed = unpack(rows[PACKED], world.num_items + 1)
    law = logits.masked_fill(~allowed, -torch.inf).log_softmax(1)
    expected = law.gather(1, rows[Key.ACTION]).squeeze(1)
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], expected)
    assert Key.LATENT not in rows.keys()  # noqa: SIM118


def test_a_saved_policy_can_make_the_log(tmp_path):
    torch.manual_seed(0)
    policy = TowerPolicy(1000, 18, observation_size=35).set_items(Greed(1).item_vectors)
    torch.nn.init.normal_(policy.query_network[-1].weight, std=0.1)
    policy.save_pretrained(tmp_path)
    rows = world_data(behavior=str(tmp_path), logged_sessions=3).log()
    rows[Key.MASK] = unpack(rows[PACKED], 1001)
    with torch.no_grad():
        expected = Policy.load(tmp_path).distribution(rows.to_dict()).log_prob(rows[Key.ACTION])
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], expected)


def test_who_scores_items_by_what_is_not_there_is_refused():
    with pytest.raises(RecipeError, match=r"gives 'charm' a weight, and Greed does not score"):
        world_data(behavior={"charm": 1.0}).log()
    with pytest.raises(RecipeError, match=r"Greed has no setting 'seeed'\. Did you mean 'seed'\?"):
        WorldData("Greed", {"seeed": 1}).num_items  # noqa: B018
