"""The circle: what a policy shows is written as a log, prepared, and read as it was."""

import numpy as np
import pytest
import torch
from lightrec_testing import tiny

from lightrec.data.log import InteractionLog
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.policies.baselines import PopularityPolicy
from lightrec.simulators.rollout import SessionLog, judge
from lightrec.simulators.user_model import UserModelSimulator
from tests.simulators.tastes import starts_of
from tests.users.stores import prepared

SESSIONS, PLACES = 60, 3


def test_the_weighted_mean_of_a_policy_on_its_own_log_is_its_mean_return(tmp_path):
    starts, settings = starts_of([[]] * SESSIONS), {"slate_size": PLACES, "max_steps": 3}
    world = UserModelSimulator(tiny.tiny_user_model(), starts, SESSIONS, **settings)
    policy = PopularityPolicy.from_appeal(torch.randn(tiny.NUM_ITEMS + 1))
    log, users = SessionLog([f"item {n}" for n in range(1, 13)]), torch.arange(SESSIONS)
    judged = judge({"": policy}, world, users, [4, 5], deterministic=False, record=log)
    sessions = judged[""]
    log.log().write_parquet(tmp_path / "log.parquet")
    read = InteractionLog.read_parquet(tmp_path / "log.parquet")
    store = prepared(read, tmp_path / "store")
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
            mask[:, slate] = False  # nothing is shown twice
        returns[user] = rewards[events].sum()
    estimate = (log_ratios.exp() * returns).mean()
    assert store.num_users == sessions.reward.numel() == 2 * SESSIONS
    assert float(returns.std()) > 0.5
    assert float(estimate) == pytest.approx(float(sessions.reward.double().mean()), abs=1e-6)
