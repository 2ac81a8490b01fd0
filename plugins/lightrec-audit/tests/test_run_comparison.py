"""Runs that are compared: paired tests by known numbers, and receipts that do not match."""

import json
import shutil

import numpy as np
import pytest
import torch
from lightrec_audit.run_comparison import by_user, compared, holm, signed_ranks
from scipy import stats

from lightrec.__main__ import main
from lightrec.errors import RunError
from lightrec.evaluation.receipt import receipt
from lightrec.ranking.metrics import RankingResult
from lightrec.run import Run


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
    own = json.loads((tiny_run / "receipt.json").read_text())
    assert own == json.loads(json.dumps(receipt(Run(tiny_run))))
    out = tmp_path / "figures.json"
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    assert main(["compare", str(tiny_run), str(other), "--out", str(out)]) == 0
    assert "60 test events of 60 users, all 48 items ranked" in capsys.readouterr().out
    (_, found) = json.loads(out.read_text())["figures"].values()
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert found["difference"] == 0
    assert found["p"] == 1
    assert found["mean"] == pytest.approx(metrics["test/ndcg@10"])
    parts = np.load(other / "data" / "parts.npy")
    np.save(other / "data" / "parts.npy", np.roll(parts, 1))
    assert main(["compare", str(tiny_run), str(other)]) == 2
    told = capsys.readouterr().err
    assert "cannot be compared. They differ in split, hash" in " ".join(told.split())
    assert main(["compare", str(tiny_run), str(tiny_run)]) == 2
    assert "named twice" in capsys.readouterr().err
