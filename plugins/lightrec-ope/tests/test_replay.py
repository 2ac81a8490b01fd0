"""Replay against truths that are known, and against Open Bandit."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from lightrec_ope.replay import replay
from tensordict import TensorDict

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.baselines import RandomPolicy

ITEMS, EVENTS = 5, 60_000
CONTEXTS = 3


class Fixed:
    """Shows a given item in each context; the context is the history's last item."""

    def __init__(self, items):
        self.items = torch.tensor(items)

    def act(self, state, slate_size=1, deterministic=True):
        assert {Key.ACTION, "reward", Key.LOG_PROBABILITY}.isdisjoint(state.keys())
        return state.set(Key.ACTION, self.items[state[Key.HISTORY][:, -1:] - 1])


def world(propensity):
    """Rewards of known means (contexts, items), logged by known propensities of the same shape."""
    chance = torch.Generator().manual_seed(1)
    means = torch.rand(CONTEXTS, ITEMS, generator=chance)
    context = torch.randint(CONTEXTS, (EVENTS,), generator=chance)
    item = torch.multinomial(propensity[context], 1, generator=chance)[:, 0]
    reward = torch.rand(EVENTS, generator=chance) < means[context, item]
    state = {
        **session_start(context[:, None] + 1),
        Key.MASK: (torch.arange(ITEMS + 1) > 0).expand(EVENTS, -1),
        Key.ACTION: item[:, None] + 1,
        Key.LOG_PROBABILITY: propensity[context, item].log(),
        "reward": reward[:, None].float(),
    }
    return TensorDict(state, batch_size=[EVENTS]), means


def test_on_a_uniform_log_the_estimate_is_the_truth_within_its_error():
    events, means = world(torch.full((CONTEXTS, ITEMS), 1 / ITEMS))
    for chosen in ([1, 2, 3], [5, 5, 5], [4, 1, 2]):
        replayed = replay(Fixed(chosen), events)
        truth = float(means[torch.arange(CONTEXTS), torch.tensor(chosen) - 1].mean())
        assert abs(replayed.mean - truth) < 3 * replayed.standard_error
        assert replayed.accepted == pytest.approx(EVENTS / ITEMS, rel=0.05)
        closed = (replayed.mean * (1 - replayed.mean) / (replayed.accepted - 1)) ** 0.5
        assert replayed.standard_error == pytest.approx(closed, rel=1e-6)
    drawn = replay(RandomPolicy(ITEMS), events, deterministic=False)
    assert abs(drawn.mean - float(means.mean())) < 3 * drawn.standard_error


def test_a_skewed_log_is_refused_or_thinned():
    # In each context another item is rare: taking every match would weigh contexts unevenly.
    propensity = torch.full((CONTEXTS, ITEMS), 0.2)
    propensity[0] = torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1])
    events, means = world(propensity)
    with pytest.raises(DataError, match=r"between 0\.1 and 0\.6"):
        replay(Fixed([1, 2, 3]), events)
    replayed = replay(Fixed([1, 2, 3]), events, floor=0.1)
    truth = float(means[torch.arange(3), torch.arange(3)].mean())
    assert abs(replayed.mean - truth) < 3 * replayed.standard_error
    assert replayed.accepted == pytest.approx(0.1 * EVENTS, rel=0.05)
    with pytest.raises(DataError, match=r"smallest propensity 0\.1"):
        replay(Fixed([1, 2, 3]), events, floor=0.3)


def test_agrees_with_open_bandit_pipelines_replay_method():
    root = os.environ.get("LIGHTREC_TEST_REFERENCE")
    if root is None:
        pytest.skip("LIGHTREC_TEST_REFERENCE is not set")
    inputs = np.load(Path(root) / "obp_inputs.npz")
    expected = json.loads((Path(root) / "obp_reference.json").read_text())["synthetic"]
    action, position = torch.from_numpy(inputs["action"]), inputs["position"]
    target = torch.from_numpy(inputs["action_dist"][np.arange(200), :, position].argmax(1))
    events = TensorDict(
        {
            Key.HISTORY: target[:, None] + 1,
            Key.ACTION: action[:, None] + 1,
            "reward": torch.from_numpy(inputs["reward"])[:, None],
            # That method takes every match, however likely it was.
            Key.LOG_PROBABILITY: torch.full((200,), 1 / 8).log(),
        },
        batch_size=[200],
    )
    replayed = replay(Fixed(list(range(1, 9))), events)
    assert replayed.mean == pytest.approx(expected["rm_argmax_policy"]["estimate"], abs=1e-12)
