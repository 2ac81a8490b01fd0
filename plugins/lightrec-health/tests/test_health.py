"""The contracts, what must not be shown to whom, the reward, and what health costs in liking."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from lightrec_formats.truth import TruthChecks, made_up
from lightrec_health.domain import HealthDomain
from lightrec_health.evaluator import HealthTradeOff
from lightrec_health.reward import HealthReward, health_scores
from lightrec_testing import EvaluatorChecks, parametrize_checks, plugin_checks

from lightrec.data.audience import Audience
from lightrec.errors import NotApplicable, RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.ranking.scorers import by_history
from lightrec.recommend import Recommender
from lightrec.run import Run

MADE_UP = partial(made_up, "health", "Popularity", "EASE", "Demographic")


def harmful(store):
    """Mark recipes that have an allergy or a condition in common with their person."""
    pairs = {"allergies": "allergens", "conditions": "contraindications"}
    common = [
        [[{*a} & {*b} - {"none"} for b in store.catalog[holds]] for a in store.users[has]]
        for has, holds in pairs.items()
    ]
    return np.array(common, object).astype(bool).any(0)


@parametrize_checks(
    plugin_checks("lightrec-health"),
    TruthChecks("health", MADE_UP, ahead=0.1, blend=0.3, forbidden=harmful),
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
    audience = Audience(users=people, items=things, time=pl.Series([None]))
    mask = HealthDomain().eligible(audience)
    assert (mask if mask is None else mask.astype(int).tolist()) == case["allowed"]


def test_a_new_person_may_have_an_allergy_that_nobody_in_the_log_has(run):
    people = Recommender(run.path).people
    for name in ("peanuts", "Dairy"):
        assert people.person(profile={"allergies": name}).row["allergies"][0].to_list() == [
            name.lower()
        ]
    with pytest.raises(RecipeError, match="allergies"):
        people.person(profile={"allergies": "penuts"})


def test_scores_that_are_none(run):
    assert health_scores(pl.Series("s", [0.5, None, 1])).tolist() == [0.5, 0, 1]
    with pytest.raises(NotApplicable, match="2 of 3 items have something else"):
        health_scores(pl.Series("s", ["0.5", "high", "7"]))
    with pytest.raises(RecipeError, match="from 0 to 1"):
        HealthReward(1.5)
    without = HealthTradeOff(attribute="nutri_score").evaluate(run, 0)
    assert without.metrics == {}
    assert "no attribute 'nutri_score'" in without.sections[0].text


def test_weight_nothing_is_the_blend_and_health_grows_with_the_weight(run):
    metrics = HealthTradeOff(steps=4).evaluate(run, 0).metrics
    result = HeldOutLog().rank(run.data, by_history(run.blend), 0)
    assert metrics["health/0.00/ndcg@10"] == pytest.approx(result.metrics()["ndcg@10"])
    shown = [metrics[f"health/{step / 4:.2f}/score"] for step in range(5)]
    assert shown == sorted(shown)
    assert shown[-1] > shown[0] + 0.2
