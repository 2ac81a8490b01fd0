"""Worlds as data of policies: what may be seen of items, as vectors or as texts."""

import hashlib
from functools import partial

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


class Bag(Encoder):
    """Counts of words, hashed into 40 places."""

    size = 40

    def encode(self, texts):
        table = torch.zeros(len(texts), self.size)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                table[row, int(hashlib.md5(word.encode()).hexdigest(), 16) % self.size] += 1
        return table


def test_without_an_encoder_items_are_the_worlds_vectors():
    data = WorldData("Greed")
    policy = data.make_policy()
    assert data.vector_size == 18
    assert torch.equal(data.vectors, data.make(1).item_vectors)
    assert policy.meaning.shape == (18, 0)


def test_titles_and_texts_stand_side_by_side():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag())
    items = data.make(1).catalog().rows
    assert data.vector_size == 80
    assert data.vectors.shape == (1001, 80)
    assert not data.vectors[0].any()
    title, text = items[Column.TITLE][6], items[Column.TEXT][6]
    sentences = text.replace(". ", ".\n").split("\n")
    assert len(sentences) == 3
    wanted = torch.cat([Bag().encode([title])[0], Bag().encode(sentences).mean(0)])
    torch.testing.assert_close(data.vectors[7], wanted)


def test_texts_tell_quality_and_bait_and_a_twin_is_seen_alike():
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag())
    policy = data.make_policy()
    truth, seen = data.make(1).item_vectors[1:, 16:], policy.vectors[1:-1, 16:18]
    told = [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(truth.T, seen.T, strict=True)]
    assert min(told) > 0.7
    twins = list(range(1, 200))
    later = WorldData("Greed", {"words": "varied", "twins": twins}, text_encoder=Bag())
    grown = policy.with_items(later.vectors[1001:])
    new, old = grown.vectors[1001:-1, 16:18], grown.vectors[twins, 16:18]
    assert (new - old).std(0).max() < 0.8 * (old - old.roll(1, 0)).std(0).min()
    assert grown.num_items == later.num_items


def test_a_policy_of_texts_learns_nothing_for_single_items():
    own = partial(TowerPolicy, size=4)
    data = WorldData("Greed", {"words": "varied"}, text_encoder=Bag(), policy=own)
    policy = data.make_policy()
    assert all(data.num_items not in p.shape for p in policy.parameters())
    assert policy.meaning.shape == (80, 18)
    with pytest.raises(ValueError, match="length 80"):
        policy.with_items(torch.zeros(1, 40))


def world_data(settings=None, **more):
    return WorldData("Greed", settings, **{"iterations": 3, "judging": 4, "behavior": {}, **more})


@pytest.mark.parametrize(("seed", "same"), [(3, True), (4, False)])
def test_a_log_follows_from_its_seed(seed, same):
    data = world_data(logged_sessions=5, seed=3)
    state = torch.random.get_rng_state()
    rows, again = data.log(), world_data(logged_sessions=5, seed=seed).log()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (rows.shape == again.shape and bool((rows == again).all())) == same


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
        known = Policy.load(tmp_path).distribution(rows.to_dict()).log_prob(rows[Key.ACTION])
    torch.testing.assert_close(rows[Key.LOG_PROBABILITY], known)


def test_who_scores_items_by_what_is_not_there_is_refused():
    with pytest.raises(RecipeError, match=r"gives 'charm' a weight, and Greed does not score"):
        world_data(behavior={"charm": 1.0}).log()
    with pytest.raises(RecipeError, match=r"Greed has no setting 'seeed'\. Did you mean 'seed'\?"):
        WorldData("Greed", {"seeed": 1}).num_items  # noqa: B018
