"""Orders of shops whose truth is known: what the visit gave away is not what is measured."""

import json
import re

import pytest
import torch
from lightrec_testing import tiny

from lightrec.data.readers.base import read_tables
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.item_models.repeats import RepeatConsumption
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import by_history
from lightrec.stages.run import run
from tests.shops import Shop
from tests.users.stores import prepared


@pytest.mark.parametrize(("hides", "least", "most"), [(True, 0.0, 0.2), (False, 0.95, 1.0)])
def test_who_knows_only_what_was_met_foretells_no_order(hides, least, most, tmp_path):
    paths = Shop("category", customers=200).write(tmp_path / "shop")
    log = read_tables(paths["log"]).log
    store = prepared(log, tmp_path / "store", k_core=5, goal=["order"], hide_visit=hides)
    model = RepeatConsumption().fit(Evidence.of(store, torch.zeros(store.num_items + 1, 0)))
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 256, None, 0)
    found = evaluate_scores(by_history(model), events).metrics()["ndcg@10"]
    assert least <= found <= most


@pytest.mark.slow
def test_where_nothing_can_be_known_nothing_is_claimed(tmp_path):
    paths = Shop("chance", customers=120).write(tmp_path / "shop")
    quick = {stage: tiny.FAST[stage] for stage in ("data", "text", "ranker")}
    out = run("generic", out=tmp_path / "run", **paths, goal=["order", "next"], overrides=quick)
    summary = (out / "summary.txt").read_text()
    page = (out / "report.html").read_text().partition('id="catalogs"')[0]
    for shown in (" ".join(summary.split()), page):
        assert "At discoveries (" in shown
        assert "clearly better" not in shown
        assert "TOO GOOD" not in shown
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test/blend-minus-popularity/ndcg@10/low"] <= 0
    assert re.search(r"before that</td>.*?<td[^>]*>(view|basket|order)</td>", page, re.DOTALL)
