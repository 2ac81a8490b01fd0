"""TensorBoard's files of a run, read back as TensorBoard reads them."""

import json

import polars as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator as WithPlugins,
)
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.projector.projector_plugin import _read_tensor_tsv_file

from lightrec.run import Run

TRAINED = ("ranker", "users_a", "users_b", "policy")


def read(run, stage):
    events = EventAccumulator(str(run / "logs" / stage), {"scalars": 0, "tensors": 0})
    return events.Reload()


def row(run, stage):
    """The settings and the metrics of a stage's row in the HPARAMS tab."""
    stage += "/final"
    data = WithPlugins(str(run / "logs" / stage)).Reload().summary_metadata
    content = {tag: hparams for tag, hparams in data.items() if tag.startswith("_hparams_")}
    started = content["_hparams_/session_start_info"].plugin_data.content
    events = read(run, stage)
    metrics = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert {len(points) for points in metrics.values()} == {1}
    settings = hparams.parse_session_start_info_plugin_data(started).hparams
    return settings, {tag: points[0].value for tag, points in metrics.items()}


@pytest.mark.parametrize("stage", TRAINED)
def test_a_trained_stage_has_curves_lists_and_a_row_of_settings(tiny_run, stage):
    events = read(tiny_run, stage)
    tags = events.Tags()
    steps = [e.step for e in events.Scalars("step/gradient_norm")]
    assert steps[:128] == list(range(len(steps)))[:128]
    assert len(events.Scalars("step/learning_rate")) == len(steps)
    assert "items/norm" in tags["histograms"]
    assert any(tag.startswith("weights/") for tag in tags["histograms"])
    (lists,) = events.Tensors("lists/text_summary")[-1].tensor_proto.string_val
    table = lists.decode().splitlines()
    assert (len(table), table[2].count("<br>")) == (2 + 10, 9)
    metrics = json.loads((tiny_run / stage / "metrics.json").read_text())
    settings, shown = row(tiny_run, stage)
    assert shown == pytest.approx({f"final/{name}": x for name, x in metrics.items()}, rel=1e-6)
    assert settings["seed"].number_value == 0


def test_the_projector_has_the_ranker_s_item_vectors_with_titles(tiny_run):
    logs, run = tiny_run / "logs" / "ranker", Run(tiny_run)
    vectors = torch.tensor(_read_tensor_tsv_file(str(logs / "items.tsv")))
    names = pl.read_csv(logs / "metadata.tsv", separator="\t")
    assert names.columns == ["title", "item", "events", "category"]
    assert names["title"].to_list() == run.data.catalog["title"].to_list()
    assert names["events"].to_list() == run.data.popularity()[1:].tolist()
    with torch.no_grad():
        torch.testing.assert_close(vectors, run.ranker.item_vectors()[1:], atol=1e-4, rtol=1e-4)


def test_the_evaluation_is_a_report_in_words_and_one_row_of_the_run_s_settings(tiny_run):
    tags = read(tiny_run, "evaluate").Tags()
    assert not tags["scalars"]
    assert any(tag.startswith("report/") for tag in tags["tensors"])
    settings, shown = row(tiny_run, "evaluate")
    assert len(shown) <= 20
    assert "final/test/blend/ndcg@10" in shown
    assert "ranker.model.learning_rate" in settings
