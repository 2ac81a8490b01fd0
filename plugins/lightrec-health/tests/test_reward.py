"""The reward that weighs health, and the trade-off of the report."""

import polars as pl
import pytest
import torch
from lightrec_health.evaluator import HealthTradeOff, traded_off
from lightrec_health.reward import HealthReward, health_scores
from tensordict import TensorDict

from lightrec.data.store import TEST
from lightrec.errors import NotApplicable, RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.keys import Key
from lightrec.rewards.base import RewardContext
from lightrec.run import Run
from lightrec.testing import EvaluatorChecks, RewardChecks, check_all


@pytest.fixture
def run(made_up):
    return Run(made_up.run)


def test_contracts(run):
    check_all(RewardChecks(HealthReward, context=lambda: RewardContext(store=run.data)))
    check_all(EvaluatorChecks(HealthTradeOff, run.path))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_a_reward_by_hand(run, weight):
    reward = HealthReward(weight)
    reward.bind(RewardContext(store=run.data))
    scores = run.data.catalog["health_score"]
    transition = TensorDict(
        {
            Key.ACTION: torch.tensor([[1, 7], [3, 0], [4, 5]]),
            Key.TAKEN: torch.tensor([[True, True], [True, False], [False, False]]),
        },
        [3],
    )
    expected = [
        2 * (1 - weight) + weight * (scores[0] + scores[6]),
        1 - weight + weight * scores[2],
        0,
    ]
    assert reward(transition).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_scores_that_are_none():
    assert health_scores(pl.Series("s", [0.5, None, 1])).tolist() == [0.5, 0, 1]
    with pytest.raises(NotApplicable, match="2 items have something else"):
        health_scores(pl.Series("s", ["0.5", "high", "7"]))
    with pytest.raises(RecipeError, match="from 0 to 1"):
        HealthReward(1.5)


def test_the_ends_of_the_trade_off_are_the_two_orders():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 13, generator=generator) * 40
    scores[:, 0] = -torch.inf
    health = torch.rand(13, generator=generator)
    allowed = torch.rand(5, 13, generator=generator) < 0.7
    allowed[:, 0], allowed[:, 1:3] = False, True
    for row in range(5):
        own = allowed[row].nonzero().flatten()
        for weight, order in ((0.0, scores[row]), (1.0, health)):
            found = traded_off(scores, health, weight, allowed=allowed)[row]
            assert torch.equal(found[own].argsort(), order[own].argsort())
    half = traded_off(scores, health, 0.5, allowed=allowed)
    assert torch.allclose(
        2 * half, traded_off(scores, health, 0, allowed=allowed) + health, atol=1e-6
    )
    assert (2 * half - health)[allowed].min() == pytest.approx(0, abs=1e-6)
    assert (2 * half - health)[allowed].max() == pytest.approx(1, abs=1e-6)


def test_weight_nothing_is_the_blend_and_health_grows_with_the_weight(run):
    found = HealthTradeOff(steps=4).evaluate(run, 0)
    result = HeldOutLog().rank(run.data, _blend(run), 0)
    assert found.metrics["health/0.00/ndcg@10"] == pytest.approx(result.metrics()["ndcg@10"])
    shown = [found.metrics[f"health/{step / 4:.2f}/score"] for step in range(5)]
    assert shown == sorted(shown)
    assert shown[-1] > shown[0] + 0.2
    (section,) = found.sections
    assert "no medical advice" in section.note
    assert "goes against the allergies or the conditions of its user" in section.text
    assert len(run.data.events(TEST)) == 400


def _blend(run):
    return lambda batch: run.blend.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)


def test_without_scores_the_section_says_so(run):
    found = HealthTradeOff(attribute="nutri_score").evaluate(run, 0)
    assert found.metrics == {}
    assert "no attribute 'nutri_score'" in found.sections[0].text
