"""Items without events, from the split to the list: kept out, ranked by text, given places."""

import numpy as np
import polars as pl
import pytest
from lightrec_testing import tiny

from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD, EventStore
from lightrec.errors import RecipeError
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.recommend import Recommender
from lightrec.run import Run
from lightrec.stages.run import run


@pytest.fixture(scope="module")
def cold_run(tmp_path_factory, lightrec_tiny_files):
    folder = tmp_path_factory.mktemp("cold")
    log, items = lightrec_tiny_files
    table = pl.read_csv(items)
    fresh = pl.DataFrame({"sku": ["new"], "title": ["lamp number 99"], "kind": ["lamp"]})
    pl.concat([table, fresh]).write_csv(folder / "items.csv")
    text_encoder = tiny.tiny_text_model(tmp_path_factory.mktemp("model"))
    settings = ["--trainer.max_epochs", "2", "--data.init_args.text_encoder.cache", "false"]
    settings += ["--data.init_args.text_encoder.model", str(text_encoder)]
    return run(
        "generic",
        out=folder / "run",
        log=log,
        items=folder / "items.csv",
        until="ranker",
        overrides={
            "data": ["--split", "item-cold", "--cold_fraction", "0.2", "--new_items", "true"],
            "ranker": settings,
        },
    )


def test_cold_events_are_targets_and_nobodys_history(cold_run):
    store = EventStore(cold_run / "data")
    assert store.num_items == 49
    cold = np.flatnonzero(np.asarray(store.parts) == COLD)
    kept_out = {int(i) for i in np.asarray(store.items)[cold]}
    assert len(kept_out) == 9
    assert not store.popularity()[list(kept_out)].any()
    sequences = Sequences.all_events(store)
    assert not kept_out & {int(i) for i in sequences.items}
    events = EvaluationEvents(sequences, Sequences.targets(store, COLD), None, 1000, None, 0)
    batch = events[0]
    assert sorted(batch["target"].tolist()) == sorted(int(i) for i in np.asarray(store.items)[cold])
    assert not kept_out & {*batch["history"].flatten().tolist()}


def test_more_places_find_more_new_items_and_fewer_others(cold_run):
    metrics = HeldOutLog().without_policy(Run(cold_run), 0)
    store = EventStore(cold_run / "data")
    assert metrics["cold/events"] == (np.asarray(store.parts) == COLD).sum()
    assert metrics["cold/items"] == 10
    found = [metrics[f"cold/places-{p}/cold/recall@10"] for p in range(4)]
    warm = [metrics[f"cold/places-{p}/warm/ndcg@10"] for p in range(4)]
    assert found[0] == 0
    assert found == sorted(found)
    assert warm == sorted(warm, reverse=True)
    assert found[3] <= metrics["cold/map/recall@10"]


def test_new_items_come_in_places_of_their_own(cold_run):
    recommender = Recommender(cold_run, by="blend")
    counts = recommender.store.popularity()[1:]
    counts = dict(zip(recommender.catalog["item"], counts, strict=True))

    def listed(**settings):
        table = next(recommender.recommend_all(k=6, **settings))
        return table["item"].to_list(), [counts[item] == 0 for item in table["item"]]

    reserved = recommender.recommend(user="u0", k=6, new=2)["item"].to_list()
    assert [counts[item] == 0 for item in reserved] == [False] * 4 + [True] * 2
    usual = recommender.recommend(user="u0", k=6)["item"]
    warm = [item for item in usual if counts[item]]
    assert reserved[: len(warm[:4])] == warm[:4]
    assert listed(new=2)[0][:6] == reserved
    items, new = listed(explore=0.3)
    assert 0.1 < sum(new) / len(new) < 0.5
    assert listed(explore=0.3) == (items, new)
    assert listed(explore=0.3, seed=1)[0] != items
    with pytest.raises(RecipeError, match="reserved places or explored ones, not both"):
        recommender.recommend(user="u0", new=1, explore=0.2)
    with pytest.raises(RecipeError, match="with a probability, 0 to 1, not 2"):
        recommender.recommend(user="u0", explore=2)
