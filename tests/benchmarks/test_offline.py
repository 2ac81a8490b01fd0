"""The benchmark of policies learned from a log: its own arithmetic."""

import pytest
import torch
from lightrec_ope.estimators import SequenceLog, SequentialDR
from lightrec_worlds.greed import Greed
from lightrec_worlds.tower import TowerPolicy
from lightrec_worlds.world_data import WorldData
from torch.nn.functional import one_hot

from benchmarks import offline, offline_run
from lightrec.keys import Key

FEW, STEPS = 6, 3


@pytest.fixture
def held_out_of(monkeypatch):
    def of(steps):
        monkeypatch.setattr(offline_run, "HELD_OUT", FEW)
        monkeypatch.setattr(offline_run, "STEPS", steps)
        settings = {"max_steps": steps}
        data = WorldData("Greed", settings, behavior={"greedy": 2.0}, logged_sessions=FEW)
        return offline_run.HeldOut(data.log())

    return of


@pytest.fixture
def policy():
    torch.manual_seed(0)
    policy = TowerPolicy(1000, 18, observation_size=35, size=0).set_items(Greed(1).item_vectors)
    torch.nn.init.normal_(policy.query_network[-1].weight, std=0.1)
    return policy


def test_two_columns_say_what_all_of_them_would(held_out_of, policy):
    """The log by all 1,001 columns, to the same estimator."""
    held_out = held_out_of(STEPS)
    found, q = held_out.judged(policy), held_out.fitted(policy)
    own, user = offline_run.shown(policy, held_out.rows), held_out.rows[Key.USER]
    step = held_out.rows[Key.STEP].squeeze(1)
    every = offline_run.of_items(torch.arange(1001))
    target, expected = torch.zeros(2, FEW, STEPS, 1001, dtype=torch.float64)
    target[user, step] = one_hot(own, 1001).double()
    expected[user, step] = held_out.state @ q @ every.T
    whole = SequenceLog(
        held_out.grid(held_out.item).long(),
        found.reward,
        target,
        found.propensity,
        found.there,
        expected=expected,
    )
    few, all_ = (SequentialDR().parts(log) for log in (found, whole))
    torch.testing.assert_close(few.values, all_.values)


def test_fitted_values_of_single_steps_are_a_ridge_regression_of_rewards(held_out_of, policy):
    held_out = held_out_of(1)
    q = held_out.fitted(policy)
    error = held_out.reward - ((held_out.state @ q) * held_out.shown).sum(1)
    slope = held_out.state.T @ (held_out.shown * error.unsqueeze(1))
    torch.testing.assert_close(slope, offline_run.PENALTY * q)
    assert held_out.reward.any()


def test_tables_set_shares_and_orders():
    metrics = {"random/return": 2.0, "oracle/return": 12.0, "behavior/drawn": 6.0}
    metrics["behavior/return"] = 7.0
    for place, loss in enumerate(offline_run.OFFLINE):
        metrics |= {f"{loss}/return": 5.0 + place, f"{loss}/drawn": 5.0}
        for name in offline_run.ESTIMATORS:
            sign = -1 if name.startswith("per decision") else 1
            metrics |= {f"{loss}/{name}/value": sign * place, f"{loss}/{name}/verdict": "weak"}
    cells = {f"seed-{seed}": {"metrics": metrics} for seed in offline.SEEDS}
    assert "| behavior | 0.50 | 0.50 | 0.50 | 0.50 | 0.40 |" in offline.table(cells)
    assert "| bc | 0.30 | 0.30 | 0.30 | 0.30 | 0.30 |" in offline.table(cells)
    assert "| fitted Q evaluation | 1.00 | 1.00 | 1.00 |" in offline.ranks(cells)
    assert "| per decision, weighted | -1.00 | -1.00 | -1.00 |" in offline.ranks(cells)
