"""Policies by their names, made of a run."""

from types import SimpleNamespace

import pytest
import torch

from lightrec import plugins
from lightrec.policies.base import Policy, session_start
from lightrec.policies.baselines import PopularityPolicy, RandomPolicy
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.run import Run
from tests.users.stores import prepared

SETTINGS = {"EpsilonGreedy": {"epsilon": 0}}


@pytest.fixture(scope="module")
def run(tiny_run):
    return Run(tiny_run)


@pytest.mark.parametrize("name", sorted(plugins.discover([]).parts["policies"]))
@torch.no_grad()
def test_a_run_makes_every_policy(name, run):
    made = plugins.installed().get("policies", name).load().from_run(run, **SETTINGS.get(name, {}))
    assert isinstance(made, Policy)
    history = torch.tensor([[0, 1, 2], [0, 0, 0]])
    law = made.distribution(session_start(history), 3)
    assert law.sample().shape == (2, 3)
    if name in ("GreedyRankerPolicy", "CandidatePolicy", "EpsilonGreedy"):
        # All of them begin as the ranker is.
        best = run.ranker.scores(history)[:, 1:].topk(3).indices + 1
        assert torch.equal(law.mode, best)
    if name == "PopularityPolicy":
        assert torch.equal(made.appeal.long(), torch.from_numpy(run.data.popularity()))


def test_epsilon_greedy_takes_another_policy_with_its_settings(run):
    other = {"class_path": "GreedyRankerPolicy", "init_args": {"history_length": 3}}
    assert EpsilonGreedy.from_run(run, other, epsilon=0.2).policy.history_length == 3
    assert isinstance(EpsilonGreedy.from_run(run, "RandomPolicy").policy, RandomPolicy)


def test_popularity_counts_kinds_as_the_item_model_does(tmp_path):
    """So that all are compared with one baseline."""
    kinds = ["view"] * 3 + ["order"] * 5
    log = {"user": ["a"] * 8, "item": list("xyzxyzvw"), "feedback": kinds}
    store = prepared(log, tmp_path, goal=["order"], hide_visit=False)
    policy = PopularityPolicy.from_run(SimpleNamespace(data=store))
    model = Popularity().fit(Evidence.of(store))
    assert torch.equal(policy.appeal, model.counts)
    assert policy.appeal.sum() == pytest.approx(3 * 0.1 + 3)  # two orders are held out
