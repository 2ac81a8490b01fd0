"""Epsilon-greedy: the law of its slates against enumeration, whatever it wraps."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.policies.base import Policy, session_start
from lightrec.policies.baselines import PopularityPolicy
from lightrec.policies.epsilon_greedy import EpsilonGreedy, EpsilonSlates

LOGITS = torch.tensor([0.3, 2.0, -1.0, 1.5, 0.9])
MASK = torch.tensor([False, True, True, True, True])


def law(epsilon, size=2, rows=1, mask=MASK):
    logits, mask = LOGITS.expand(rows, -1), mask.expand(rows, -1)
    return EpsilonSlates(PlackettLuce(logits, mask, size).mode, mask, epsilon)


def state(rows=3):
    start = TensorDict(session_start(torch.zeros(rows, 4, dtype=torch.int64)), [rows])
    return start.set(Key.MASK, MASK.expand(rows, -1).clone())


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
    short = law(0.5, 3, mask=torch.tensor([False, False, True, False, True]))
    assert short.mode.tolist() == [[4, 2, EMPTY]]
    both = torch.tensor([[[4, 2, EMPTY]], [[2, 4, EMPTY]]])
    assert short.log_prob(both).exp().flatten().tolist() == pytest.approx([0.75, 0.25])
    torch.manual_seed(1)
    drawn = {tuple(slate) for slate in short.sample((50,)).flatten(0, 1).tolist()}
    assert drawn == {(4, 2, EMPTY), (2, 4, EMPTY)}
    nothing = law(0.5, 2, mask=torch.zeros(5, dtype=torch.bool))
    assert nothing.log_prob(nothing.sample()).tolist() == [0.0]


def test_the_policy_writes_what_it_drew_by_and_its_best_does_not_explore():
    torch.manual_seed(2)
    inner = PopularityPolicy.from_appeal(torch.arange(5.0))
    policy = EpsilonGreedy(inner, 0.3)
    acted = policy.act(state(2000), 2, deterministic=False)
    best = (acted[Key.ACTION] == torch.tensor([4, 3])).all(1)
    written = acted[Key.LOG_PROBABILITY].exp()
    torch.testing.assert_close(written[best], torch.full((int(best.sum()),), 0.7 + 0.3 / 12))
    torch.testing.assert_close(written[~best], torch.full((int((~best).sum()),), 0.3 / 12))
    assert best.float().mean().item() == pytest.approx(0.725, abs=0.04)
    assert policy.act(state(), 2)[Key.ACTION].tolist() == [[4, 3]] * 3
    drawn = EpsilonGreedy(inner, 0.3, always_drawn=True).act(state(2000), 2)[Key.ACTION]
    assert 0.5 < (drawn == torch.tensor([4, 3])).all(1).float().mean() < 0.9


def test_it_wraps_what_goes_on_learning_and_is_saved_with_it(tmp_path):
    inner = PopularityPolicy(4)
    policy = EpsilonGreedy(inner, 0.2)
    inner.appeal.copy_(torch.tensor([0.0, 1.0, 5.0, 2.0, 0.0]))
    assert policy.act(state(1), 2)[Key.ACTION].tolist() == [[2, 3]]
    policy.save_pretrained(tmp_path)
    loaded: Policy = EpsilonGreedy.from_pretrained(tmp_path)
    assert loaded.epsilon == 0.2
    assert loaded.act(state(1), 2)[Key.ACTION].tolist() == [[2, 3]]
    with pytest.raises(ValueError, match=r"epsilon is 1.5"):
        EpsilonGreedy(inner, 1.5)
