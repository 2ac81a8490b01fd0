"""Beams find what the exact law puts first, and drawn slates have its law."""

import itertools

import pytest
import torch
from lightrec_generate.decoding import beam

from lightrec.nn.plackett_luce import PlackettLuce

ITEMS = 40
NEW = (3, 17, 20, 25)
HISTORIES = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 9], [6, 3, 5, 7], [0, 0, 0, 5], [0, 12, 3, 1]])


@pytest.mark.parametrize("new", [(), NEW])
@pytest.mark.parametrize("filtered", [False, True])
def test_a_wide_beam_is_the_exact_ranking(tiny_generator, new, filtered):
    made = tiny_generator(new=new)
    users = made.user_vectors(HISTORIES)
    shown = torch.rand(5, ITEMS + 1, generator=torch.Generator().manual_seed(5)) < 0.4
    shown[:, [17, 20]] = True
    law = made.log_probabilities(users).detach()
    law = law.masked_fill(~shown, -torch.inf) if filtered else law
    beams = beam(made, users, ITEMS, shown if filtered else None)
    best = law.topk(ITEMS, dim=1)
    there = best.values > -torch.inf
    assert torch.equal(beams.items * there, best.indices * there)
    assert (beams.items[~there] == 0).all()
    torch.testing.assert_close(beams.log_probabilities, best.values)
    # What is in its place is not certain where new items come in several places.
    assert beams.exact.any() == beams.exact.all() == (not new)


@pytest.mark.slow
def test_new_items_are_drawn_by_the_law(tiny_generator):
    torch.manual_seed(0)
    made = tiny_generator(new=NEW)
    shown = torch.zeros(ITEMS + 1, dtype=torch.bool)
    shown[[2, 8, 17, 20]] = True
    users, draws = made.user_vectors(HISTORIES[2:3]), 20_000
    slates = beam(made, users.expand(draws, -1), ITEMS, shown, draw=True)
    assert slates.exact.all()
    assert (slates.items[:, 4:] == 0).all()
    expected = PlackettLuce(made.log_probabilities(users), shown, 2)
    for pair in itertools.permutations([2, 8, 17, 20], 2):
        share = (slates.items[:, :2] == torch.tensor(pair)).all(1).double().mean()
        chance = expected.log_prob(torch.tensor([pair])).exp().double()
        error = (chance * (1 - chance) / draws).sqrt()
        assert (share - chance).abs() < 5 * error + 1e-4
