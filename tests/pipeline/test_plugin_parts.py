"""What a run does with the parts of a plugin that somebody else wrote."""

import shutil

import pytest
import torch

from lightrec.data.store import EventStore
from lightrec.pipeline.held_out import HeldOutLog
from lightrec.pipeline.sessions import SimulatedSessions
from lightrec.policies.baselines import PopularityPolicy


@pytest.fixture
def own_run(tiny_run, tmp_path):
    """A copy of the tiny run that a test may change."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_any_policy_is_evaluated(own_run):
    counts = EventStore.open(own_run / "data").popularity()
    shutil.rmtree(own_run / "policy")
    PopularityPolicy.from_counts(torch.from_numpy(counts)).save_pretrained(own_run / "policy")
    ranked = HeldOutLog().evaluate(own_run, own_run, 0)
    assert ranked["test/policy/ndcg@10"] == ranked["test/popularity/ndcg@10"]
    played = SimulatedSessions(rounds=1).evaluate(own_run, own_run, 0)
    assert played["simulator/policy/return"] == played["simulator/popularity/return"]
