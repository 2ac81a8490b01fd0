"""Worlds in which people come again: `retention`'s laws, its tabular twin against enumeration, and
`tastes`'s drift against its closed form.
"""

from itertools import product

import numpy as np
import pytest
import torch
from lightrec_worlds.playing import play
from lightrec_worlds.retention import Retention
from lightrec_worlds.tastes import Tastes

from lightrec.keys import Key

TWIN = {"num_items": 3, "offer_size": 3, "levels": 3, "horizon": 3, "pull": 0.0}
"""Users alike but for satisfaction, three items always offered, three days."""


def enumerated(world):
    """Values (days, levels) of the best of all ways to choose an item by day and level.

    Written from the laws alone: each way is a Markov chain, whose equations are solved.
    """
    days, levels, items = world.horizon, world.levels, world.num_items
    x = np.linspace(0, 1, levels)
    end, gone, back = 0.35 - 0.2 * x, 0.3 - 0.3 * x, 0.1 + 0.8 * x
    quality = world.quality[1:].double().numpy()
    pick = 1 / (1 + np.exp(1.5 - 1.5 * world.bait[1:].double().numpy()))
    states = list(product(range(days), range(levels)))
    best = np.full(len(states), -np.inf)
    for way in product(range(items), repeat=len(states)):
        chain, reward = np.zeros((len(states), len(states))), np.zeros(len(states))
        for row, (day, level) in enumerate(states):
            p, up = pick[way[row]], (1 + quality[way[row]]) / 2
            moves = {min(level + 1, levels - 1): p * up}
            for to, part in ((max(level - 1, 0), p * (1 - up)), (level, 1 - p)):
                moves[to] = moves.get(to, 0) + part
            for to, part in moves.items():
                chain[row, states.index((day, to))] += part * (1 - end[to])
                for later in range(day + 1, days):
                    chance = (1 - gone[to]) * back[to] * (1 - back[to]) ** (later - day - 1)
                    chain[row, states.index((later, to))] += part * end[to] * chance
                    reward[row] += part * end[to] * chance
        best = np.maximum(best, np.linalg.solve(np.eye(len(states)) - chain, reward))
    return best.reshape(days, levels)


def test_dynamic_programming_is_enumeration_in_the_twin():
    world = Retention(4000, **TWIN | {"horizon": 2})
    best = enumerated(world)
    played = play(world, world.oracle, 0).returns
    # Users begin on the three levels evenly.
    assert played.mean().item() == pytest.approx(best[0].mean(), abs=4 * 0.5 / 4000**0.5)
    state = world.reset()
    index = state[Key.LATENT, "level"].long()
    for level in range(3):
        row = int((index == level).nonzero()[0])
        one = state[row : row + 1]
        weight = world.logits(one, one[Key.CANDIDATES]).double().exp()[0]
        worth = world.worth.double()[0]
        up, down = worth[min(level + 1, 2)], worth[max(level - 1, 0)]
        rise = (1 + world.quality[one[Key.CANDIDATES][0]].double()) / 2
        chance = weight / (1 + weight)
        value = chance * (rise * up + (1 - rise) * down) + (1 - chance) * worth[level]
        assert value.max().item() == pytest.approx(best[0, level], abs=1e-5)
        assert world.oracle(state)[row].argmax() == value.argmax()


def test_sessions_end_and_days_pass_as_the_laws_say():
    rows = 20_000
    world = Retention(rows)
    world.set_seed(1)
    state = world.reset()
    state[Key.LATENT, "level"] = torch.full((rows,), 4.0)  # x = 1/2
    response = world.respond(state, torch.zeros(rows, 1, dtype=torch.int64))
    latent = response.changed[Key.LATENT]
    assert torch.equal(latent["level"], state[Key.LATENT, "level"])
    ended = latent["day"] > 0
    assert ended.float().mean() == pytest.approx(0.25, abs=0.012)
    assert response.leave[ended].float().mean() == pytest.approx(0.15, abs=0.02)
    assert response.leave[~ended].sum() == 0
    absence = latent["absence"][ended]
    for days in (1, 2, 3):
        assert (absence == days).float().mean() == pytest.approx(0.5**days, abs=0.025)
    came = ended & (response.leave == 0) & (latent["day"] < 20)
    assert torch.equal(response.changed[Key.TRUE_REWARD][:, 0], came.float())
    assert latent["slates"][ended].sum() == 0
    assert (latent["slates"][~ended] == 1).all()


PEOPLE = torch.arange(4_000)


@pytest.mark.parametrize("drift", [0.0, 0.2, 1.0])
def test_tastes_correlate_as_the_drift_says_and_stay_spread_alike(drift):
    world = Tastes(1, drift=drift)
    first = world.tastes(PEOPLE, 2)
    for days in (1, 3):
        later = world.tastes(PEOPLE, 2 + days)
        numbers = torch.stack([first.flatten(), later.flatten()])
        # Of 64,000 pairs the correlation has a standard error of .004 or less.
        assert numbers.corrcoef()[0, 1].item() == pytest.approx((1 - drift) ** days, abs=0.016)
        assert later.std().item() == pytest.approx(1, abs=0.012)
    if drift == 0:
        assert torch.equal(first, world.tastes(PEOPLE, 9))


def test_people_are_the_same_whatever_the_chance_and_the_batch():
    world, other = Tastes(3, drift=0.2, day=4), Tastes(2, drift=0.2, day=4)
    world.fix(torch.tensor([7, 1, 5]), seed=0)
    other.fix(torch.tensor([5, 7]), seed=1)
    one, two = (each.reset()[Key.LATENT, "taste"] for each in (world, other))
    assert torch.equal(one[[2, 0]], two)
    assert not torch.equal(two, Tastes(2, seed=1, drift=0.2, day=4).tastes(torch.tensor([5, 7]), 4))


def test_items_are_taken_as_the_law_says_and_otherwise_every_day():
    world, later = Tastes(20_000, num_items=20), Tastes(20_000, num_items=20, day=1)
    taken = []
    for each in (world, later):
        each.fix(torch.arange(20_000), seed=0)
        state = each.reset()
        slate = torch.arange(1, 11).repeat(20_000, 1)
        taken.append(each.respond(state, slate).taken)
        expected = each.logits(state, slate).sigmoid().mean(0)
        assert torch.allclose(taken[-1].float().mean(0), expected, atol=0.015)
    # The tastes are the same on both days, the chance is not.
    assert not torch.equal(*taken)
