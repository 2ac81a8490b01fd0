"""Replay against truths that are known, and against Open Bandit."""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_ope.replay import bandit_events, replay
from tensordict import TensorDict

from lightrec.data.log import InteractionLog
from lightrec.errors import DataError
from lightrec.keys import Column, Key
from lightrec.policies.baselines import PopularityPolicy, RandomPolicy

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
    mask = torch.ones(EVENTS, ITEMS + 1, dtype=torch.bool)
    mask[:, 0] = False
    state = {
        Key.HISTORY: context[:, None] + 1,
        Key.MASK: mask,
        Key.STEP: torch.zeros(EVENTS, 1, dtype=torch.int64),
        Key.ACCEPTED_TOTAL: torch.zeros(EVENTS, 1),
        Key.ACTION: item[:, None] + 1,
        Key.LOG_PROBABILITY: propensity[context, item].log(),
        "reward": reward[:, None].float(),
    }
    return TensorDict(state, batch_size=[EVENTS]), means


def test_on_a_uniform_log_the_estimate_is_the_truth_within_its_error():
    events, means = world(torch.full((CONTEXTS, ITEMS), 1 / ITEMS))
    for chosen in ([1, 2, 3], [5, 5, 5], [4, 1, 2]):
        found = replay(Fixed(chosen), events)
        truth = float(means[torch.arange(CONTEXTS), torch.tensor(chosen) - 1].mean())
        assert abs(found.mean - truth) < 3 * found.standard_error
        assert found.accepted == pytest.approx(EVENTS / ITEMS, rel=0.05)
        closed = (found.mean * (1 - found.mean) / (found.accepted - 1)) ** 0.5
        assert found.standard_error == pytest.approx(closed, rel=1e-6)
    drawn = replay(RandomPolicy(ITEMS), events, deterministic=False)
    assert abs(drawn.mean - float(means.mean())) < 3 * drawn.standard_error
    assert drawn == replay(RandomPolicy(ITEMS), events, deterministic=False)
    assert drawn != replay(RandomPolicy(ITEMS), events, deterministic=False, seed=1)
    assert found == replay(Fixed([4, 1, 2]), events, batch_size=999)


def test_a_skewed_log_is_refused_or_thinned():
    # In each context another item is rare: taking every match would weigh contexts unevenly.
    propensity = torch.full((CONTEXTS, ITEMS), 0.2)
    propensity[0] = torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1])
    events, means = world(propensity)
    with pytest.raises(DataError, match=r"between 0\.1 and 0\.6"):
        replay(Fixed([1, 2, 3]), events)
    found = replay(Fixed([1, 2, 3]), events, floor=0.1)
    truth = float(means[torch.arange(3), torch.arange(3)].mean())
    assert abs(found.mean - truth) < 3 * found.standard_error
    assert found.accepted == pytest.approx(0.1 * EVENTS, rel=0.05)
    match = events[Key.ACTION] == events[Key.HISTORY]
    naive = float(events["reward"][match].mean())
    assert abs(naive - truth) > 5 * found.standard_error
    with pytest.raises(DataError, match=r"smallest propensity 0\.1"):
        replay(Fixed([1, 2, 3]), events, floor=0.3)


def test_what_is_wrong_is_told():
    events, _ = world(torch.full((CONTEXTS, ITEMS), 1 / ITEMS))
    events = events[:100]
    with pytest.raises(DataError, match="None of 100 events"):
        replay(Fixed([9, 9, 9]), events)
    events[Key.LOG_PROBABILITY] = torch.full((100,), float("nan"))
    with pytest.raises(DataError, match="outside 0 to 1"):
        replay(Fixed([1, 1, 1]), events)
    with pytest.raises(DataError, match="'propensity' is empty in 1 of 1"):
        bandit_events(InteractionLog(pl.DataFrame({Column.ITEM: ["a"], Column.VALUE: [1.0]})))


def test_candidates_of_a_log_become_masks():
    log = InteractionLog(
        pl.DataFrame(
            {
                Column.ITEM: ["b", "a", "c"],
                Column.VALUE: [1.0, 0.0, 1.0],
                Column.PROPENSITY: [0.5, 0.5, 0.5],
                Column.CANDIDATES: [["b", "d"], None, ["a", "c"]],
            }
        )
    )
    events, names = bandit_events(log)
    assert names == ["a", "b", "c", "d"]
    assert events[Key.ACTION].flatten().tolist() == [2, 1, 3]
    allowed = [row.nonzero().flatten().tolist() for row in events[Key.MASK]]
    assert allowed == [[2, 4], [1, 2, 3, 4], [1, 3]]


@pytest.fixture(scope="module")
def open_bandit():
    root = os.environ.get("LIGHTREC_TEST_DATA")
    if root is None:
        pytest.skip("LIGHTREC_TEST_DATA is not set")

    def read(policy: str) -> InteractionLog:
        frame = pl.read_csv(Path(root) / "open-bandit-small" / "obd" / policy / "men" / "men.csv")
        return InteractionLog(
            frame.select(
                pl.col("item_id").cast(pl.String).alias(Column.ITEM),
                pl.col("position").alias(Column.POSITION),
                pl.col("click").cast(pl.Float64).alias(Column.VALUE),
                pl.col("propensity_score").alias(Column.PROPENSITY),
            )
        )

    return read


def test_uniform_policy_has_open_bandits_click_rate(open_bandit):
    events, names = bandit_events(open_bandit("random"))
    assert len(names) == 34
    # A uniform policy's expected sums are those of the 34 constant ones together.
    clicks = accepted = 0.0
    for item in range(1, 35):
        counts = torch.zeros(35).index_fill(0, torch.tensor([item]), 1.0)
        found = replay(PopularityPolicy.from_appeal(counts), events)
        clicks, accepted = clicks + found.mean * found.accepted, accepted + found.accepted
    assert accepted == 10_000
    assert clicks / accepted == pytest.approx(0.0046)
    # And drawn: 60 replays of about 294 events each.
    draws = [replay(RandomPolicy(34), events, deterministic=False, seed=seed) for seed in range(60)]
    total = sum(d.accepted for d in draws)
    pooled = sum(d.mean * d.accepted for d in draws) / total
    assert total == pytest.approx(60 * 10_000 / 34, rel=0.03)
    assert abs(pooled - 0.0046) < 3 * (0.0046 / total) ** 0.5
    with pytest.raises(DataError, match="thin the log by its propensities"):
        replay(RandomPolicy(34), bandit_events(open_bandit("bts"))[0])


def test_agrees_with_open_bandit_pipelines_replay_method():
    root = os.environ.get("LIGHTREC_TEST_REFERENCE")
    if root is None:
        pytest.skip("LIGHTREC_TEST_REFERENCE is not set")
    given = np.load(Path(root) / "obp_inputs.npz")
    expected = json.loads((Path(root) / "obp_reference.json").read_text())["synthetic"]
    action, position = torch.from_numpy(given["action"]), given["position"]
    target = torch.from_numpy(given["action_dist"][np.arange(200), :, position].argmax(1))
    events = TensorDict(
        {
            Key.HISTORY: target[:, None] + 1,
            Key.ACTION: action[:, None] + 1,
            "reward": torch.from_numpy(given["reward"])[:, None],
            # That method takes every match, however likely it was.
            Key.LOG_PROBABILITY: torch.full((200,), 1 / 8).log(),
        },
        batch_size=[200],
    )
    found = replay(Fixed(list(range(1, 9))), events)
    assert found.mean == pytest.approx(expected["rm_argmax_policy"]["estimate"], abs=1e-12)
