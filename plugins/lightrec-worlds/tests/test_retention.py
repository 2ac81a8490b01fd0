"""The world `retention`: its laws, its tabular twin against enumeration, and that bait loses."""

from itertools import product

import numpy as np
import pytest
import torch
from lightrec_worlds.playing import play
from lightrec_worlds.retention import Retention

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
