"""What is served has learned from all events; what is judged has not."""

import numpy as np
import pytest
import torch

import lightrec
from lightrec.data.store import COLD, CONTEXT, TEST, TRAIN, VALIDATION
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import refitted
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import FINAL, Run
from lightrec.stages import recipes


def test_nothing_is_held_out_of_the_whole_log(tiny_run):
    store = Run(tiny_run).data
    whole = store.whole
    assert {*np.asarray(store.parts).tolist()} >= {TRAIN, VALIDATION, TEST}
    assert not np.isin(whole.parts, (VALIDATION, TEST, COLD)).any()
    held_out = np.isin(store.parts, (VALIDATION, TEST))
    assert (whole.parts[held_out] == TRAIN).all()
    assert (whole.parts[np.asarray(store.parts) == CONTEXT] == CONTEXT).all()
    assert whole.popularity().sum() == store.popularity().sum() + held_out.sum()


def test_what_is_served_goes_on_from_what_was_judged_with_all_events(tiny_run):
    run = Run(tiny_run)
    assert run.served.weights == run.blend.weights
    served, judged = (each.ranker.item_vectors() for each in (run.served, run.blend))
    assert torch.cosine_similarity(served[1:], judged[1:]).mean() > 0.9
    assert not torch.equal(served, judged)


def test_item_models_are_fitted_to_all_events_and_weights_stay(tiny_run, tmp_path):
    run = Run(tiny_run)
    model = Popularity().fit(Evidence.of(run.data, torch.zeros(run.data.num_items + 1, 0)))
    weights = {"ranker": 0.7, "Popularity": 0.3}
    run.ranker.save_pretrained(tmp_path)
    Blend(run.ranker, {"Popularity": model}, weights).save(tmp_path)
    data = SequenceData(str(run.folder("data")), ranker=str(tmp_path))
    blend, metrics = refitted(run.ranker, tmp_path, data)
    assert metrics == {}
    assert blend.weights == weights
    counts = blend.item_model("Popularity").counts
    assert counts.tolist() == run.data.whole.popularity().tolist()
    assert counts.sum() > model.counts.sum()


def test_lists_that_are_to_be_judged_are_those_of_what_was_judged(tiny_run):
    run, known = Run(tiny_run), lightrec.load(tiny_run, by="blend")
    (table,) = known.recommend_all(k=3, before="test", batch_size=10_000)
    log, ends = known.people.before_test()
    events = known.people.events(np.arange(run.data.num_users), log, ends)
    scores = run.blend.scores(events["history"], details=events)
    first = table.filter(rank=1)
    own = scores.scatter(1, events["seen"], -torch.inf)
    own[:, 0] = -torch.inf
    best = own.max(1).values
    assert first["score"].to_list() == pytest.approx(best.tolist(), abs=1e-4)


def test_nothing_that_is_to_be_judged_has_learned_from_held_out_events(tiny_run):
    known = lightrec.load(tiny_run, by="blend")
    assert known.popularity.counts.sum() > 0
    judged = known._judged.run
    assert judged.served is known.run.blend
    assert judged.learned is known.run.data
    model = type(known.popularity)().fit(
        Evidence.of(known.run.data, torch.zeros(known.store.num_items + 1, 0))
    )
    assert known._judged.popularity.counts.equal(model.counts)
    assert known._judged.popularity.counts.sum() < known.popularity.counts.sum()


def test_a_run_without_the_final_stage_serves_what_was_judged(tiny_run, tmp_path):
    for name in ("data", "ranker", "text"):
        if (tiny_run / name).exists():
            (tmp_path / name).symlink_to(tiny_run / name)
    run = Run(tmp_path)
    assert run.served is run.blend
    assert not run.has(FINAL)


def test_the_final_stages_settings_are_the_rankers_but_for_its_own():
    found = recipes.load("generic")
    ranker, final = found.resolved("ranker"), found.resolved(FINAL)
    assert final["model"]["init_args"] == ranker["model"]["init_args"] | {"learning_rate": 0.0005}
    assert "--trainer.max_epochs=2" in found.words(FINAL)
    assert not any(word.startswith("--trainer.accelerator") for word in found.words(FINAL))
