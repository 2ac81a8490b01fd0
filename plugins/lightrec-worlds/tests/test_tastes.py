"""The world `tastes`: drift's closed form, who comes again, and what its oracle reaches."""

import pytest
import torch
from lightrec_worlds.tastes import Tastes

from lightrec.keys import Key

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
