"""The contracts, what must not be shown to whom, the reward, and what health costs in liking."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_health.domain import HealthDomain
from lightrec_health.evaluator import HealthTradeOff, traded_off
from lightrec_health.reward import HealthReward, health_scores

from lightrec.errors import NotApplicable, RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.ranking.scorers import by_history
from lightrec.run import Run
from lightrec.testing import (
    EvaluatorChecks,
    RewardChecks,
    parametrize_checks,
    plugin_checks,
)

MADE_UP = partial(made_up, "health", "Popularity", "EASE", "Demographic")


def harmful(store):
    """Mark recipes that have an allergy or a condition in common with their person."""
    pairs = {"allergies": "allergens", "conditions": "contraindications"}
    met = [
        [[{*own} & {*held} - {"none"} for held in store.catalog[holds]] for own in store.users[has]]
        for has, holds in pairs.items()
    ]
    return np.array(met, object).astype(bool).any(0)


@parametrize_checks(
    plugin_checks("lightrec-health"),
    TruthChecks("health", MADE_UP, ahead=0.1, blend=0.3, forbidden=harmful),
    RewardChecks(HealthReward, context=lambda: MADE_UP().context),
    EvaluatorChecks(HealthTradeOff, lambda: MADE_UP().run),
)
def test_contract(check):
    check()


@pytest.fixture
def run():
    return Run(MADE_UP().run)


MASKS = yaml.safe_load(Path(__file__).with_name("masks.yaml").read_text("utf-8"))


@pytest.mark.parametrize("case", MASKS.values(), ids=MASKS)
def test_what_must_not_be_shown(case):
    people, things = pl.DataFrame(case["people"]), pl.DataFrame(case["things"])
    found = HealthDomain().eligible(people, things, pl.Series([None]))
    assert (found if found is None else found.astype(int).tolist()) == case["allowed"]


def test_scores_that_are_none(run):
    assert health_scores(pl.Series("s", [0.5, None, 1])).tolist() == [0.5, 0, 1]
    with pytest.raises(NotApplicable, match="2 of 3 items have something else"):
        health_scores(pl.Series("s", ["0.5", "high", "7"]))
    with pytest.raises(RecipeError, match="from 0 to 1"):
        HealthReward(1.5)
    found = HealthTradeOff(attribute="nutri_score").evaluate(run, 0)
    assert found.metrics == {}
    assert "no attribute 'nutri_score'" in found.sections[0].text


def test_the_ends_of_the_trade_off_are_the_two_orders():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 13, generator=generator) * 40
    scores[:, 0] = -torch.inf
    health = torch.rand(13, generator=generator)
    allowed = torch.rand(5, 13, generator=generator) < 0.7
    allowed[:, 0], allowed[:, 1:3] = False, True
    liked, half, healthy = (traded_off(scores, health, weight, allowed) for weight in (0, 0.5, 1))
    for row, own in enumerate(allowed):
        assert torch.equal(liked[row, own].argsort(), scores[row, own].argsort())
        assert torch.equal(healthy[row, own].argsort(), health[own].argsort())
    assert torch.allclose(2 * half, liked + health, atol=1e-6)
    assert liked[allowed].aminmax() == pytest.approx((0, 1), abs=1e-6)


def test_weight_nothing_is_the_blend_and_health_grows_with_the_weight(run):
    findings = HealthTradeOff(steps=4).evaluate(run, 0)
    result = HeldOutLog().rank(run.data, by_history(run.blend), 0)
    found = findings.metrics
    assert found["health/0.00/ndcg@10"] == pytest.approx(result.metrics()["ndcg@10"])
    shown = [found[f"health/{step / 4:.2f}/score"] for step in range(5)]
    assert shown == sorted(shown)
    assert shown[-1] > shown[0] + 0.2
    (section,) = findings.sections
    assert "no medical advice" in section.note
    assert "goes against the allergies or the conditions of its user" in section.text
