"""Beams find what the exact law puts first, and drawn slates have its law."""

import itertools

import pytest
import torch
from lightrec_generate.decoding import beam

from lightrec.nn.plackett_luce import PlackettLuce

ITEMS = 40
USERS = torch.randn(6, 8, generator=torch.Generator().manual_seed(4))


NEW = (3, 17, 20, 25)
HISTORIES = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 9], [6, 3, 5, 7], [0, 0, 0, 5], [0, 12, 3, 1]])


@pytest.mark.parametrize("filtered", [False, True])
def test_a_wide_beam_is_the_exact_ranking(generator, filtered):
    shown = torch.rand(6, ITEMS + 1, generator=torch.Generator().manual_seed(5)) < 0.4
    law = generator.log_probabilities(USERS).detach()
    if filtered:
        law = law.masked_fill(~shown, -torch.inf)
    found = beam(generator, USERS, ITEMS, shown if filtered else None)
    best = law.topk(ITEMS, dim=1)
    there = best.values > -torch.inf
    assert torch.equal(found.items * there, best.indices * there)
    assert (found.items[~there] == 0).all()
    torch.testing.assert_close(found.log_probabilities, best.values)
    assert found.exact.all()


@pytest.mark.parametrize("filtered", [False, True])
def test_new_items_come_in_a_wide_beam_as_by_the_law(tiny_generator, filtered):
    made = tiny_generator(new=NEW)
    users = made.user_vectors(HISTORIES)
    shown = torch.rand(5, ITEMS + 1, generator=torch.Generator().manual_seed(5)) < 0.4
    law = made.log_probabilities(users).detach()
    shown[:, [17, 20]] = True
    law = law.masked_fill(~shown, -torch.inf) if filtered else law
    found = beam(made, users, ITEMS, shown if filtered else None)
    best = law.topk(ITEMS, dim=1)
    there = best.values > -torch.inf
    assert torch.equal(found.items * there, best.indices * there)
    torch.testing.assert_close(found.log_probabilities, best.values)
    assert not found.exact.any()


@pytest.mark.slow
def test_new_items_are_drawn_by_the_law(tiny_generator):
    torch.manual_seed(0)
    made = tiny_generator(new=NEW)
    shown = torch.zeros(ITEMS + 1, dtype=torch.bool)
    shown[[2, 8, 17, 20]] = True
    users, draws = made.user_vectors(HISTORIES[2:3]), 20_000
    found = beam(made, users.expand(draws, -1), ITEMS, shown, draw=True)
    assert found.exact.all()
    assert (found.items[:, 4:] == 0).all()
    expected = PlackettLuce(made.log_probabilities(users), shown, 2)
    for pair in itertools.permutations([2, 8, 17, 20], 2):
        share = (found.items[:, :2] == torch.tensor(pair)).all(1).double().mean()
        chance = expected.log_prob(torch.tensor([pair])).exp().double()
        error = (chance * (1 - chance) / draws).sqrt()
        assert (share - chance).abs() < 5 * error + 1e-4
