"""What is forbidden to a user by an attribute is not shown in 200,000 slates of any policy."""

import pytest
import torch

from lightrec import plugins
from lightrec.keys import Key
from lightrec.policies.baselines import (
    ConstantListPolicy,
    GreedyRankerPolicy,
    PopularityPolicy,
    RandomPolicy,
    ScoringPolicy,
)
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.policies.slate import SlatePolicy
from lightrec.ranking.ranker import Ranker
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.testing import tiny

N, ROWS, SLATES = tiny.NUM_ITEMS, 50_000, 200_000
AGES = torch.tensor([8, 12, 15, 16, 17, 30, 60, 5])
LEAST = torch.tensor([0, 0, 6, 6, 12, 12, 16, 16, 16, 18, 18, 18, 21])
"""The age from which on an item may be shown; the youngest user may see one of them only."""
ALLOWED = (AGES.unsqueeze(1) >= LEAST).index_fill(1, torch.tensor([0]), False)


def rows(seed=0):
    torch.manual_seed(seed)
    return torch.randn(N + 1, 3)


def ranker():
    torch.manual_seed(0)
    return Ranker(N, size=8, max_length=10).eval()


def candidate():
    return CandidatePolicy(ranker(), tiny.tiny_choice_model())


MAKERS = {
    "random": lambda: RandomPolicy(N),
    "popularity": lambda: PopularityPolicy.from_appeal(torch.arange(N + 1.0)),
    "constant": lambda: ConstantListPolicy.from_appeal(torch.arange(N + 1.0)),
    "scoring": lambda: ScoringPolicy(N, lambda history: rows()[:, 0].expand(len(history), -1)),
    "encoder": lambda: GreedyRankerPolicy(ranker()),
    "candidate": candidate,
    "slate": lambda: SlatePolicy(candidate(), candidate(), slate_size=3),
    "epsilon": lambda: EpsilonGreedy(RandomPolicy(N), 0.5),
}


@pytest.fixture(scope="module")
def state():
    """The state of one session of each user, as the simulator of user models begins it."""
    offsets = torch.arange(len(AGES) + 1) * 2
    items = torch.arange(2 * len(AGES)) % N + 1
    starts = LogStarts(offsets, items, allowed=lambda users: ALLOWED[users])
    simulator = UserModelSimulator(tiny.tiny_user_model(), starts, len(AGES), repeats=True)
    simulator.fix(torch.arange(len(AGES)), 0)
    return simulator.reset()


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_nobody_is_shown_what_is_forbidden(name, state):
    policy = MAKERS[name]()
    some = state.select(Key.HISTORY, Key.MASK, Key.STEP, Key.ACCEPTED_TOTAL, Key.USER).clone()
    some[Key.USER_VECTOR] = policy.user_vectors(some[Key.HISTORY])
    many = some[torch.arange(ROWS) % len(AGES)]
    forbidden = ~ALLOWED.index_fill(1, torch.tensor([0]), True)
    users = many[Key.USER].unsqueeze(1)
    law = policy.distribution(many, 3)
    for _ in range(SLATES // ROWS):
        slates = law.sample()
        assert not forbidden[users, slates].any()
    for deterministic in (True, False):
        shown = policy.act(many.clone(), 3, deterministic)[Key.ACTION]
        assert not forbidden[users, shown].any()
        # Where only some may be shown the others' places are empty.
        assert torch.equal((shown[: len(AGES)] > 0).sum(1), ALLOWED.sum(1).clamp_max(3))


def test_every_policy_of_the_package_is_looked_at():
    own = {part.load() for part in plugins.discover([]).parts["policies"].values()}
    assert own <= {type(make()) for make in MAKERS.values()}
