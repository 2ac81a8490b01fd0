"""Students against their teachers, at the events that they may learn from."""

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
import torch
from lightrec_export import distil
from lightrec_export.batch import Lists
from lightrec_export.distil import distilled
from lightrec_export.export import export, table_of
from lightrec_export.exported import MANIFEST
from lightrec_testing import tiny

from lightrec.__main__ import main
from lightrec.data.store import TEST, EventStore
from lightrec.errors import RecipeError
from lightrec.nn.towers import UserTower
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.ranker import Ranker
from lightrec.run import Run

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module", autouse=True)
def brief():
    """Let students learn for a moment only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distil, "EPOCHS", 2)
        yield


class Layerless(UserTower):
    """A user tower without layers."""

    def __init__(self, size):
        super().__init__()

    def forward(self, x, present):
        return x


def weights(student):
    return torch.cat([each.flatten() for each in student.parameters()])


def with_popularity(run):
    """Let a run's blend be its ranker with other biases, which a ranker can be."""
    store = run.data
    popularity = Popularity().fit(Evidence.of(store, torch.zeros(store.num_items + 1, 0)))
    popularity.counts[1::2] *= 20
    shares = {"ranker": 1.0, "Popularity": 1.0}
    run.__dict__["blend"] = Blend(run.ranker, {"Popularity": popularity}, shares)
    run.__dict__["served"] = run.blend
    return run


def test_a_student_becomes_a_blend_that_it_can_be(tiny_run, monkeypatch):
    monkeypatch.setattr(distil, "EPOCHS", 60)
    monkeypatch.setattr(distil, "RATE", 2e-2)
    run = with_popularity(Run(tiny_run))
    student, about = distilled(run, "blend", layers=1)
    parts = about["parts"]
    assert parts["blend"]["top10"] == 1
    assert parts["ranker"]["top10"] < 0.7
    assert parts["student"]["top10"] > 0.95
    bias = student.bias.detach()[1:] - run.ranker.bias.detach()[1:]
    expected = run.blend.logarithms("Popularity", torch.zeros(1, 1, dtype=torch.int64))[0, 1:]
    assert torch.corrcoef(torch.stack([bias, expected]))[0, 1] > 0.9


def test_students_learn_from_training_events_alone(tiny_run, tmp_path):
    runs = [Run(tiny_run), Run(tiny_run)]
    changed = shutil.copytree(tiny_run / "data", tmp_path / "data")
    items = np.load(changed / "items.npy")
    held = np.load(changed / "parts.npy") == TEST
    items[held] = 1 + (items[held] + 6) % tiny.ITEMS
    np.save(changed / "items.npy", items)
    runs[1].__dict__["data"] = EventStore(changed)
    (one, about), (other, about_other) = (distilled(run, "blend", layers=1) for run in runs)
    assert held.sum() == tiny.USERS
    assert weights(one).equal(weights(other))
    assert about["epoch"] == about_other["epoch"]


def test_the_teacher_is_what_is_served_and_figures_are_of_what_was_not_learned(tiny_run):
    """Of what has learned from the validation events there is no NDCG on them."""
    run = with_popularity(Run(tiny_run))
    assert distilled(run, "blend", layers=1)[1]["parts"]["blend"]["ndcg@10"] > 0
    calls = []
    run.__dict__["served"] = served = Blend(run.ranker)
    scores = served.scores
    served.scores = lambda *arguments, **more: calls.append(1) or scores(*arguments, **more)
    _, about = distilled(run, "blend", layers=1)
    assert calls
    assert {each["ndcg@10"] for each in about["parts"].values()} == {None}
    assert table_of(about).rows[0][1] == "–"


@pytest.mark.slow
def test_an_exported_student_answers_as_it_scores(tiny_run, tmp_path):
    """The command says what is lost; the same seed makes the same student."""
    exported, said, run = tmp_path / "out", StringIO(), Run(tiny_run)
    words = ["--distill", "blend", "--size", "8", "--layers", "1"]
    with redirect_stdout(said):
        assert main(["export", str(tiny_run), str(exported), *words]) == 0
    for word in ("on validation events", "blend (teacher)", "ranker", "student", "ms a user"):
        assert word in said.getvalue()
    with torch.no_grad():
        student, about = distilled(run, "blend", size=8, layers=1)
    manifest = json.loads((exported / MANIFEST).read_text())
    assert manifest["distilled"]["epoch"] == about["epoch"]
    history, catalog = [3, 17, 5], run.data.catalog["item"].cast(str)
    ids = [catalog[item - 1] for item in history]
    answer = Lists(str(exported), 7)(pa.table({"user": ["a"], "history": [ids]})).to_pylist()[0]
    scores = student.scores(torch.tensor([history]))[0].detach()
    scores[history] = -torch.inf
    assert answer["items"] == [catalog[item - 1] for item in scores.topk(7).indices.tolist()]
    assert answer["scores"] == pytest.approx(scores.topk(7).values.tolist(), abs=1e-4)


def test_settings_that_do_not_go_together_are_refused(tiny_run, tmp_path):
    run, out = Run(tiny_run), tmp_path / "out"
    for settings, says in (
        ({"layers": 1}, "--layers is for the ranker that --distill teaches"),
        ({"distill": "blend", "what": "policy"}, "--distill teaches a ranker"),
        ({"distill": "blend", "size": 17}, r"--size should be 1 to 16, .* not 17"),
    ):
        with pytest.raises(RecipeError, match=says):
            export(run, out, **settings)
    run.__dict__["served"] = Blend(Ranker(tiny.ITEMS, size=16, tower=Layerless))
    with pytest.raises(RecipeError, match="a Layerless, has no layers: leave out --layers"):
        export(run, out, distill="ranker", layers=1)
    assert not [*tmp_path.iterdir()]
