"""The circle: what a policy shows is written as a log, prepared, and read as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightrec_worlds.greed import Greed

from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.data.store import EventStore
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.policies.baselines import PopularityPolicy
from lightrec.simulators.rollout import SessionLog, Sessions, judge

SESSIONS, PLACES, STEPS = 60, 3, 12


@pytest.fixture(scope="module")
def world() -> Greed:
    return Greed(SESSIONS, slate_size=PLACES, max_steps=STEPS)


@pytest.fixture(scope="module")
def policy(world: Greed) -> PopularityPolicy:
    """Prefers items of quality."""
    return PopularityPolicy.from_appeal(3 * world.quality)


@pytest.fixture(scope="module")
def played(world: Greed, policy: PopularityPolicy) -> tuple[Sessions, SessionLog]:
    log = SessionLog([f"item {n}" for n in range(1, world.num_items + 1)])
    users = torch.arange(SESSIONS)
    found = judge({"own": policy}, world, users, [4, 5], deterministic=False, record=log)
    return found["own"], log


@pytest.fixture(scope="module")
def store(played, tmp_path_factory: pytest.TempPathFactory) -> EventStore:
    folder: Path = tmp_path_factory.mktemp("circle")
    played[1].log().write_parquet(folder / "log.parquet")
    log = InteractionLog.read_parquet(folder / "log.parquet")
    return prepare(log, folder / "store", domain=Domain(), k_core=0, seed=0)


def test_the_weighted_mean_of_a_policy_on_its_own_log_is_its_mean_return(
    policy: PopularityPolicy, played, store: EventStore
) -> None:
    sessions, _ = played
    number = [0, *(int(name.removeprefix("item ")) for name in store.catalog["item"])]
    slates = torch.tensor(number)[torch.from_numpy(np.array(store.candidates)).long()]
    log_ratios = torch.zeros(store.num_users, dtype=torch.float64)
    returns = torch.zeros(store.num_users, dtype=torch.float64)
    propensities = torch.from_numpy(store.log["propensity"].to_numpy().copy())
    rewards = torch.from_numpy(store.log["value"].to_numpy().copy())
    scores = policy.scores(torch.zeros(1, 1, dtype=torch.int64))
    for user in range(store.num_users):
        events = slice(store.offsets[user], store.offsets[user + 1])
        mask = torch.ones(1, policy.num_items + 1, dtype=torch.bool)
        mask[:, 0] = False
        for slate, propensity in zip(slates[events], propensities[events], strict=True):
            law = PlackettLuce(scores, mask, PLACES)
            log_ratios[user] += law.log_prob(slate[None]).double().item() - propensity.log()
            mask[:, slate] = False  # greed shows nothing twice
        returns[user] = rewards[events].sum()
    estimate = (log_ratios.exp() * returns).mean()
    assert store.num_users == sessions.reward.numel() == 2 * SESSIONS
    assert float(returns.std()) > 0.5
    assert float(estimate) == pytest.approx(float(sessions.reward.double().mean()), abs=1e-6)
