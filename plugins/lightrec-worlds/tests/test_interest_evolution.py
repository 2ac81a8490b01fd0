"""The laws of interest evolution, by hand."""

import numpy as np
import pytest
import torch
from lightrec_worlds.recsim import InterestEvolution

from lightrec.keys import Key

ROWS = 4000


def shown(world, slate, interests=0.0, budget=200.0):
    """A step of many alike users, to whom one slate is shown: state before, transition after."""
    state = world.reset()
    items = [*(item for item in slate if item), *range(101, 111)][: world.offer_size]
    state[Key.CANDIDATES] = torch.tensor(items).expand(ROWS, -1).clone()
    state[Key.LATENT, "interests"] = torch.full((ROWS, 20), interests)
    state[Key.LATENT, "budget"] = torch.full((ROWS,), budget)
    state[Key.ACTION] = torch.tensor(slate).expand(ROWS, -1).clone()
    return state, world.step(state)["next"]


@pytest.fixture
def world():
    torch.manual_seed(0)
    return InterestEvolution(ROWS)


def test_every_part_of_the_catalog_has_the_law_of_fresh_documents(world):
    topic = world.topic[1:].view(10, 200)
    assert all(torch.bincount(part).tolist() == [10] * 20 for part in topic)
    means = np.r_[np.linspace(-3, 0, 14), np.linspace(0, 3, 6)]
    quality = torch.stack([world.quality[1:][world.topic[1:] == t] for t in range(20)]).double()
    assert np.abs(quality.mean(1).numpy() - means).max() < 0.04  # four standard errors of .1/√100
    assert abs(quality.std(1).mean() - 0.1) < 0.005
    assert torch.equal(world.item_vectors[1:].argmax(1), world.topic[1:])
    assert not world.item_vectors[0].any()


def test_choice_is_proportional_to_interest_plus_one(world):
    # Interests are .5 everywhere: each video weighs 1.5 beside the 2 of nothing.
    for slate, weights in (([1, 2], [2, 1.5, 1.5]), ([3, 0], [2, 1.5]), ([0, 3], [2, 1.5])):
        state, after = shown(world, slate, interests=0.5)
        clicked = (state[Key.ACTION] * after[Key.TAKEN]).sum(1)
        options = [0, *(item for item in slate if item)]
        counts = torch.tensor([float((clicked == item).sum()) for item in options])
        wanted = ROWS * torch.tensor(weights) / sum(weights)
        assert counts.sum() == ROWS
        assert ((counts - wanted) ** 2 / wanted).sum() < 13.8  # χ², 99.9 %


def test_a_click_costs_what_was_watched_less_what_quality_gives_back(world):
    item = 19  # of the topic before the last, quality about 2.4
    state, after = shown(world, [item, 0], interests=0.5)
    click = after[Key.TAKEN][:, 0]
    quality = float(world.quality[item])
    budget = after[Key.LATENT, "budget"]
    torch.testing.assert_close(
        budget[click], torch.full_like(budget[click], 200 - 4 + 0.9 / 3.4 * 4 * quality)
    )
    assert (budget[~click] == 199.5).all()
    assert (after["reward"].squeeze(1) == 4.0 * click).all()
    assert torch.equal(after["reward"], after[Key.TRUE_REWARD])
    seen = after[Key.OBSERVATION]
    assert torch.equal(seen[:, 20], 4.0 * click)
    torch.testing.assert_close(seen[:, 21], torch.full((ROWS,), quality))
    assert (seen[:, 22] == 0).all()
    assert not after["done"].any()
    assert torch.equal(state[Key.LATENT, "budget"], torch.full((ROWS,), 200.0))


def test_interest_in_the_topic_watched_moves_and_no_other(world):
    item, interest = 8, -0.5
    _, after = shown(world, [item, 0], interests=interest)
    click = after[Key.TAKEN][:, 0]
    interests = after[Key.LATENT, "interests"]
    topic = interests[:, 7]
    step = 0.3 * (1 - 0.5) * (1 + 0.5)
    assert (topic[~click] == interest).all()
    up = topic[click] > interest
    torch.testing.assert_close(topic[click][up], torch.full((int(up.sum()),), interest + step))
    torch.testing.assert_close(topic[click][~up], torch.full((int((~up).sum()),), interest - step))
    clicks = int(click.sum())
    assert abs(float(up.float().mean()) - 0.25) < 4 * (0.25 * 0.75 / clicks) ** 0.5
    assert (interests[:, torch.arange(20) != 7] == interest).all()


def test_users_leave_when_their_time_is_up_and_watch_no_longer_than_it_lasts(world):
    item = 1  # the worst topic, quality about -3
    _, after = shown(world, [item, 0], interests=0.5, budget=3.0)
    click = after[Key.TAKEN][:, :1]
    assert torch.equal(after["terminated"], click)
    assert torch.equal(after["reward"], 3.0 * click)
    _, after = shown(world, [item, 0], interests=0.5, budget=0.5)
    assert after["terminated"].all()
    assert not after["truncated"].any()
