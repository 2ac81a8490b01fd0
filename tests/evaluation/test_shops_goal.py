"""Orders of shops whose truth is known: what the visit gave away is not what is measured."""

import pytest
import torch

from lightrec.data.domain import Domain
from lightrec.data.prepare import prepare
from lightrec.data.readers.base import read_tables
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST
from lightrec.evaluation.held_out import by_history
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.item_models.repeats import RepeatConsumption
from lightrec.ranking.metrics import evaluate_scores
from tests.shops import Shop


@pytest.mark.parametrize(("hides", "least", "most"), [(True, 0.0, 0.2), (False, 0.95, 1.0)])
def test_who_knows_only_what_was_met_foretells_no_order(hides, least, most, tmp_path):
    paths = Shop("category", customers=200).write(tmp_path / "shop")
    log = read_tables(paths["log"]).log
    given = {"domain": Domain(), "goal": ["order"], "hide_visit": hides, "seed": 0}
    store = prepare(log, tmp_path / "store", **given)
    model = RepeatConsumption().fit(Evidence.of(store, torch.zeros(store.num_items + 1, 0)))
    events = EvaluationEvents(Sequences.all_events(store), TEST, None, 256, None, 0)
    found = evaluate_scores(by_history(model), events).metrics()["ndcg@10"]
    assert least <= found <= most
