"""Models of one log, and runs, beside each other: figures, refusals, tests by known numbers."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from lightrec_audit.compare import by_user, compared, find_models, holm, signed_ranks
from lightrec_testing import parametrize_checks, plugin_checks
from scipy import stats

from lightrec.__main__ import main
from lightrec.errors import RecipeError, RunError
from lightrec.evaluation.receipt import receipt
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.item_to_item import EASE, ItemKNN
from lightrec.ranking.metrics import RankingResult
from lightrec.run import Run


@parametrize_checks(plugin_checks("lightrec-audit"))
def test_contract(check):
    check()


def test_models_of_a_run_have_the_figures_of_its_own_evaluation(tiny_run, tmp_path):
    """The same settings are chosen, and the same events are ranked in the same way."""
    assert main(["compare", str(tiny_run), "--out", str(tmp_path / "own.json")]) == 0
    figures = json.loads((tmp_path / "own.json").read_text())["figures"]
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert {"blend", "ranker", "random", "Popularity"} <= figures.keys()
    for name, row in figures.items():
        expected = metrics[f"test/{'popularity' if name == 'Popularity' else name}/ndcg@10"]
        assert row["mean"] == pytest.approx(expected), name
    assert next(iter(figures)) == "blend"


@pytest.mark.slow
def test_models_of_a_log_are_compared_without_training_what_nobody_asked_for(
    lightrec_tiny_files, tmp_path, capsys
):
    log, _ = lightrec_tiny_files
    line = ["compare", str(tmp_path / "run"), "--log", str(log)]
    models = ["--models", "item-knn,popularity,Demographic"]
    assert main([*line, *models, "--out", str(tmp_path / "models.csv"), "--data.k_core", "2"]) == 0
    with (tmp_path / "models.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert [*rows] == ["ItemKNN", "Popularity"]
    assert float(rows["Popularity"]["difference"]) < 0  # kinds of items decide, not popularity
    assert not (tmp_path / "run" / "ranker").exists()
    assert "Demographic is left out." in capsys.readouterr().err


def test_models_are_found_by_name_or_refused():
    own = "lightrec.ranking.item_models.als:ALS"
    models = find_models(["blend", "ease", "item-knn", own, "ranker"])
    expected = {"blend": None, "EASE": EASE, "ItemKNN": ItemKNN, "ALS": ALS, "ranker": None}
    assert models == expected
    known = r"no model 'lightgcn'.*Known are: blend, ranker, random.*EASE"
    with pytest.raises(RecipeError, match=known):
        find_models(["blend", "lightgcn"])
    with pytest.raises(RecipeError, match=r"nowhere:Mine cannot be imported.*PYTHONPATH"):
        find_models(["nowhere:Mine"])


def test_holm_corrects_as_in_his_paper():
    """p = .01, .04, .03, .005 of four: 4 · .005, 3 · .01, 2 · .03, and not below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_differences_are_taken_user_by_user():
    rng = np.random.default_rng(0)
    users = torch.from_numpy(rng.integers(40, size=300))
    targets, ranks = torch.ones(300, dtype=torch.int64), torch.from_numpy(rng.integers(1, 15, 300))
    one = RankingResult(users, targets, ranks.double())
    later = ranks + torch.from_numpy(rng.integers(0, 3, 300))
    other = RankingResult(users, targets, later.double())
    table, figures, (means, differences) = compared({"b": other, "a": one}, "ndcg@10")
    assert [row[0] for row in table.rows] == ["a", "b"]  # the best first
    assert figures["a"]["low"] > 0
    assert means.values["b"] == figures["b"]["mean"]
    assert [*differences.rows] == ["a"]
    figures = compared({"a": one, "b": other}, "ndcg@10")[1]
    gaps = by_user(other.paired(one), users)
    expected = stats.wilcoxon(gaps.numpy(), zero_method="pratt").pvalue
    assert figures["b"]["p"] == pytest.approx(expected)
    assert figures["a"]["mean"] + figures["b"]["difference"] == pytest.approx(figures["b"]["mean"])
    assert signed_ranks(torch.zeros(9)) == 1.0
    with pytest.raises(RunError, match="a and c cannot be compared"):
        compared({"a": one, "c": RankingResult(users + 1, targets, ranks.double())}, "ndcg@10")


def test_a_run_is_compared_with_itself_and_not_with_another_split(tiny_run, tmp_path, capsys):
    written = json.loads((tiny_run / "receipt.json").read_text())
    assert written == json.loads(json.dumps(receipt(Run(tiny_run))))
    out = tmp_path / "figures.json"
    other = shutil.copytree(tiny_run, tmp_path / "other")
    assert main(["compare", str(tiny_run), str(other), "--out", str(out)]) == 0
    assert (
        "60 test events of 60 users, ranked among those of 48 items that may be shown"
        in capsys.readouterr().out
    )
    (_, figures) = json.loads(out.read_text())["figures"].values()
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert figures["difference"] == 0
    assert figures["p"] == 1
    assert figures["mean"] == pytest.approx(metrics["test/ndcg@10"])
    parts = np.load(other / "data" / "parts.npy")
    np.save(other / "data" / "parts.npy", np.roll(parts, 1))
    assert main(["compare", str(tiny_run), str(other)]) == 2
    said = capsys.readouterr().err
    assert "cannot be compared. They differ in split, hash" in " ".join(said.split())
