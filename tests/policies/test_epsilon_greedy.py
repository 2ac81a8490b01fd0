"""Epsilon-greedy: the law of its slates against enumeration, whatever it wraps."""

import itertools
import math

import pytest
import torch

from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.policies.epsilon_greedy import EpsilonSlates

LOGITS = torch.tensor([0.3, 2.0, -1.0, 1.5, 0.9])
MASK = torch.tensor([False, True, True, True, True])


def law(epsilon, size=2, rows=1, mask=MASK):
    logits, mask = LOGITS.expand(rows, -1), mask.expand(rows, -1)
    return EpsilonSlates(PlackettLuce(logits, mask, size).mode, mask, epsilon)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_ordered_slate_has_its_probability(epsilon, size):
    slates = torch.tensor(list(itertools.permutations([1, 2, 3, 4], size)))
    found = law(epsilon, size).log_prob(slates.unsqueeze(1)).exp().squeeze(1)
    wanted = torch.full((len(slates),), epsilon / math.perm(4, size))
    wanted[(slates == torch.tensor([1, 3, 4][:size])).all(1)] += 1 - epsilon
    torch.testing.assert_close(found, wanted)
    assert found.sum().item() == pytest.approx(1)


def test_where_fewer_may_be_shown_than_there_are_places():
    mask = torch.tensor([False, False, True, False, True])
    short = law(0.5, 3, mask=mask)
    assert short.mode.tolist() == [[4, 2, EMPTY]]
    both = torch.tensor([[[4, 2, EMPTY]], [[2, 4, EMPTY]]])
    assert short.log_prob(both).exp().flatten().tolist() == pytest.approx([0.75, 0.25])
    torch.manual_seed(1)
    assert {tuple(s) for s in short.sample((50,)).flatten(0, 1).tolist()} == {
        (4, 2, EMPTY),
        (2, 4, EMPTY),
    }
    nothing = law(0.5, 2, mask=torch.zeros(5, dtype=torch.bool))
    assert nothing.log_prob(nothing.sample()).tolist() == [0.0]
