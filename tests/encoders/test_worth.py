"""What texts are worth beside who chose what: a ranking by hand, and what decides."""

import math

import numpy as np
import pytest
import scipy
import torch

from lightrec.encoders.base import unit_vectors
from lightrec.encoders.worth import SHARPNESS, SMOOTHING, Choices, compared, gains

TEXTS, EVENTS = 30, 600


def asked(seed, users, topics):
    """Events whose text has the topic of the two texts before it."""
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(topics == n % 3))[:3] for n in range(EVENTS)]
    rows = np.array(rows) + 1
    padding = np.zeros((EVENTS, 1), np.int64)
    return Choices(np.hstack([padding, rows[:, :2]]), rows[:, 2], users)


@pytest.fixture
def topics():
    return np.arange(TEXTS) % 3


def vectors_of(topics, noise):
    generator = torch.Generator().manual_seed(0)
    found = torch.nn.functional.one_hot(torch.as_tensor(topics), 3).float()
    found = found + noise * torch.randn(found.shape, generator=generator)
    return torch.nn.functional.pad(found, (0, 0, 1, 0))


def test_gains_are_those_of_a_ranking_by_shares_and_cosines(topics):
    generator = np.random.default_rng(1)
    follows = scipy.sparse.random_array((TEXTS + 1, TEXTS + 1), density=0.2, rng=generator).tolil()
    follows[0] = 0
    events = asked(0, np.arange(EVENTS), topics)
    vectors = vectors_of(topics, 0.5)
    found = gains(events, follows.tocsr(), vectors, 0.8)
    units, dense = unit_vectors(vectors).numpy(), follows.toarray()
    for row in range(20):
        first, last = events.histories[row, 1:]
        known = 0.8 * dense[first] + dense[last]
        known = known / max(known.sum(), 1e-12) + SMOOTHING / (TEXTS + 1)
        mean = 0.8 * units[first] + units[last]
        for place, weight in enumerate(SHARPNESS):
            scores = np.log(known) + weight * units @ mean / np.linalg.norm(mean)
            own = scores[events.chosen[row]]
            others = np.delete(scores, [0, first, last, events.chosen[row]])
            above, equal = (others > own + 1e-6).sum(), (abs(others - own) <= 1e-6).sum()
            rank = 1 + above + equal / 2
            expected = 1 / math.log2(1 + rank) if rank <= 10 else 0
            assert found[place, row].item() == pytest.approx(expected, abs=1e-6)


def test_an_interval_draws_users_and_says_nothing_where_choices_say_all(topics):
    every = [np.arange(EVENTS), np.arange(EVENTS) + EVENTS]
    given = {"frozen": vectors_of(topics, 2.0), "tuned": vectors_of(topics, 0.1)}
    nothing = scipy.sparse.csr_array((TEXTS + 1, TEXTS + 1))
    events = asked(0, every[0], topics), asked(1, every[1], topics)
    means, gain = compared(events, nothing, given, 0.8)
    assert gain.low > 0.05
    assert gain.mean == pytest.approx(means["tuned"] - means["frozen"])
    # The same events of five users.
    few = asked(0, every[0], topics), asked(1, every[1] // 3 % 5, topics)
    assert compared(few, nothing, given, 0.8)[1].mean == pytest.approx(gain.mean)
    one = asked(0, every[0], topics), asked(1, every[1] * 0, topics)
    assert compared(one, nothing, given, 0.8)[1].low == -math.inf
    # Where what followed tells the topic exactly, texts have nothing to add.
    same = np.pad(topics[:, None] == topics, ((1, 0), (1, 0))).astype(np.float64)
    _, none = compared(events, scipy.sparse.csr_array(same), given, 0.8)
    assert none.low <= 0 < none.mean + 0.05
