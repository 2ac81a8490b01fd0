"""The world greed: its laws by hand, the wrong thing to want, and the best constant list."""

import pytest
import torch
from lightrec_worlds import constant as lists
from lightrec_worlds.constant import at_first, best_constant
from lightrec_worlds.greed import Greed
from lightrec_worlds.playing import even_chance, play
from torch.nn.functional import normalize

from lightrec.keys import Key
from lightrec.policies.baselines import ConstantListPolicy


def test_items_have_the_laws_moments():
    world = Greed(1)
    quality, bait = world.quality[1:], world.bait[1:]
    assert quality.abs().max() < 1
    assert quality.var() == pytest.approx(1 / 3, abs=0.03)
    assert bait.var() == pytest.approx(0.49 / 3 + 0.25, abs=0.04)
    assert torch.corrcoef(torch.stack([quality, bait]))[0, 1] == pytest.approx(-0.629, abs=0.05)
    torch.testing.assert_close(world.direction[1:].norm(dim=1), torch.ones(1000))
    # unit(topic + .25 ε) in 16 dimensions: the noise is about as long as the topic.
    near = (world.direction[1:] * world.topics[world.topic]).sum(1)
    assert near.mean() == pytest.approx(0.71, abs=0.02)


def test_one_step_by_hand():
    """A user for whom every law can be computed with pencil and paper."""
    world = Greed(2)
    world.set_seed(4)
    state = world.reset()
    item = 17
    v, q, b = world.item_vectors[item].split([16, 1, 1])
    latent = state[Key.LATENT]
    latent["taste"] = torch.stack([v, v])
    latent["satiation"] = torch.stack([0.4 * v, -0.4 * v])
    latent["satisfaction"] = torch.tensor([0.2, -0.5])
    logits = world.logits(state, torch.tensor([[item], [item]]))
    wanted = [4 + 1.5 * b - 2 - 3 * 0.4, 4 + 1.5 * b - 2]
    torch.testing.assert_close(logits, torch.stack(wanted))
    torch.testing.assert_close(world.logits(state)[:, item], logits.squeeze(1))

    slate = torch.tensor([[item], [0]])
    world.pick = lambda *_: torch.tensor([[True], [False]])
    response = world.respond(state, slate)
    changed = response.changed[Key.LATENT]
    assert response.value.tolist() == [[1], [0]]
    satisfaction = [0.9 * 0.2 + 0.5 * q.item(), 0.9 * -0.5 - 0.05]
    assert changed["satisfaction"].tolist() == pytest.approx(satisfaction)
    leave = [1 / (1 + torch.tensor(3 + 3 * s).exp().item()) for s in satisfaction]
    assert response.leave.tolist() == pytest.approx(leave)
    torch.testing.assert_close(changed["taste"], torch.stack([normalize(1.05 * v, dim=0), v]))
    torch.testing.assert_close(
        changed["satiation"], torch.stack([0.85 * 0.4 * v + 0.45 * v, -0.85 * 0.4 * v])
    )
    seen = response.changed[Key.OBSERVATION]
    torch.testing.assert_close(seen[:, :32], torch.cat([changed["taste"], changed["satiation"]], 1))
    wanted = [[1 / 40, 0.9 * 0.3 + 0.1, 1], [1 / 40, 0.9 * 0.3, 0]]
    torch.testing.assert_close(seen[:, 32:], torch.tensor(wanted))


def test_the_slate_is_picked_from_with_the_laws_probabilities():
    rows = 30_000
    world = Greed(rows, slate_size=3)
    world.set_seed(3)
    state = world.reset()
    state[Key.LATENT, "taste"] = world.topics[:1].expand(rows, -1).clone()
    slate = torch.tensor([[1, 21, 0]]).expand(rows, -1)
    weights = world.logits(state, slate)[0, :2].exp()
    wanted = torch.cat([torch.ones(1), weights]) / (1 + weights.sum())
    taken = world.respond(state, slate).taken
    counts = torch.stack([~taken.any(1), taken[:, 0], taken[:, 1]]).sum(1)
    assert (((counts - rows * wanted) ** 2) / (rows * wanted)).sum() < 13.8  # χ², 2 degrees, 99.9 %


@pytest.mark.parametrize(("size", "factor"), [(1, 4), (3, 8)])
def test_quality_pays_and_greed_does_not(size, factor):
    """Near the known returns: the draw of the items and few sessions leave three deviations."""
    world = Greed(256, slate_size=size)
    ways = (even_chance(world), world.logits, lambda s: world.rule(s, factor), world.oracle)
    chance, greedy, rule, oracle = (play(world, scores, 0).returns.mean() for scores in ways)
    wanted = {1: (1.73, 3.01, 14.64), 3: (3.33, 3.27, 19.34)}[size]
    assert torch.stack([chance, greedy]).tolist() == pytest.approx(wanted[:2], abs=0.4)
    assert rule.item() == pytest.approx(wanted[2], abs=1.6)
    # With one place the oracle and the rule are too near each other for so few sessions.
    assert min(oracle, rule) > 4 * greedy
    assert oracle > 0.97 * rule


@pytest.fixture(scope="module")
def greed():
    return Greed(256, max_steps=15)


def test_at_first_items_are_taken_as_the_law_says(greed):
    reward, taken = at_first(greed, 3)
    greed.fix(torch.arange(256), 3)
    wanted = greed.logits(greed.reset()).sigmoid().mean(0)
    # 256 users, each taking an item or not: five standard errors of the most uncertain.
    assert (taken - wanted)[1:].abs().max() < 5 * 0.5 / 256**0.5
    assert (taken - wanted)[1:].abs().mean() < 0.02
    assert torch.equal(reward, taken)


@pytest.mark.slow
def test_the_list_beats_chance_and_greed(greed, monkeypatch):
    monkeypatch.setattr(lists, "FACTORS", (0.0, 1.0, 4.0))
    appeal = best_constant(greed, rounds=2)
    judged = Greed(512, max_steps=15)
    ways = (ConstantListPolicy.from_appeal(appeal).logits, even_chance(judged), judged.greedy)
    constant, chance, greedy = (play(judged, way, 77).returns.mean() for way in ways)
    assert constant > 1.2 * max(chance, greedy)
    assert appeal[0] == -torch.inf
