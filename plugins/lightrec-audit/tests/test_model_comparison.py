"""Models of one log beside each other: the run's own figures, refusals, models of one's own."""

import csv
import json

import pytest
from lightrec_audit.model_comparison import find_models

from lightrec.__main__ import main
from lightrec.errors import RecipeError
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.item_to_item import EASE, ItemKNN
from tests.shops import Shop

OWN = """
from lightrec.ranking.item_models.base import ItemModel

class Beloved(ItemModel):
    def fit(self, evidence):
        self.register_buffer("counts", evidence.counts())
        return self

    def scores(self, histories, users=None, *, details=None):
        return self.counts.expand(len(histories), -1)
"""


def test_models_of_a_run_have_the_figures_of_its_own_evaluation(tiny_run, tmp_path, capsys):
    """The same settings are chosen, and the same events are ranked in the same way."""
    assert main(["compare", str(tiny_run), "--out", str(tmp_path / "own.json")]) == 0
    found = json.loads((tmp_path / "own.json").read_text())["figures"]
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert {"blend", "ranker", "random", "Popularity"} <= found.keys()
    for name, own in found.items():
        expected = metrics[f"test/{'popularity' if name == 'Popularity' else name}/ndcg@10"]
        assert own["mean"] == pytest.approx(expected), name
    assert next(iter(found)) == "blend"
    assert found["blend"]["fitted in s"] > found["ranker"]["fitted in s"] > 0
    assert "less blend (95 %)" in capsys.readouterr().out
    assert (tmp_path / "own.png").stat().st_size > 1000


@pytest.mark.slow
def test_models_of_a_log_are_compared_without_training_what_nobody_asked_for(
    tmp_path, capsys, monkeypatch
):
    paths = Shop("item", 3, customers=60, items=60).write(tmp_path / "shop")
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    line = ["compare", str(tmp_path / "run"), "--log", str(paths["log"]), "--goal", "order"]
    models = ["--models", "item-knn,popularity,own_models:Beloved,Demographic"]
    assert main([*line, *models, "--out", str(tmp_path / "models.csv"), "--data.k_core", "2"]) == 0
    with (tmp_path / "models.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert [*rows] == ["ItemKNN", "Popularity", "Beloved"]
    assert rows["Beloved"]["mean"] == rows["Popularity"]["mean"]
    assert float(rows["Popularity"]["difference"]) < 0  # groups of items decide, not popularity
    assert not (tmp_path / "run" / "ranker").exists()
    assert "Demographic is left out." in capsys.readouterr().err


def test_models_are_found_by_name_or_refused():
    found = find_models(["blend", "ease", "item-knn", "ALS", "ranker"])
    expected = {"blend": None, "EASE": EASE, "ItemKNN": ItemKNN, "ALS": ALS, "ranker": None}
    assert found == expected
    with pytest.raises(
        RecipeError, match=r"no model 'lightgcn'.*Known are: blend, ranker, random.*EASE"
    ):
        find_models(["blend", "lightgcn"])
    with pytest.raises(RecipeError, match=r"nowhere:Mine cannot be imported.*PYTHONPATH"):
        find_models(["nowhere:Mine"])
