"""User models: their sessions next to logged ones, and learned rewards next to true ones."""

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_audit.user_models import SessionStatistics, SimulatedStatistics, spearman_within_sets
from scipy.stats import spearmanr

from lightrec.data.files import STAMP
from lightrec.run import Run
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import LeavingModel
from lightrec.users.user_model import UserModel
from tests.users.stores import prepared

TAKEN = 0.7


def test_counted_by_hand():
    """Sessions of 1, 3 and 40 steps, in which items 1; 2 3 2; and 4 4 are chosen."""
    sessions = SessionStatistics(
        torch.tensor([1, 3, 40]),
        torch.tensor([0, 1, 1, 1, 2, 2]),
        torch.tensor([1, 2, 3, 2, 4, 4]),
        4,
        torch.tensor([-1, 0, 0, 1, 1]),
    )
    counts, figures = sessions.counts(), sessions.figures()
    assert counts["length"][[0, 1, 2, 3, 40]].tolist() == [0, 1, 0, 1, 1]
    assert counts["popularity"].tolist() == [0, 1, 2, 1, 2]
    # 0 → 1 and 1 → 0 in the second session, 1 → 1 in the third; none across sessions.
    assert counts["transitions"].tolist() == [[0, 1], [1, 1]]
    assert figures["length/{}"] == pytest.approx(44 / 3)
    assert figures["popularity/{}/top-50"] == pytest.approx(2 / 3)
    assert figures["repeats/{}"] == pytest.approx(2 / 6)


def test_the_true_law_makes_the_log_again(tmp_path):
    """Of two items shown the first is taken with probability .7, and a third leave at each step."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(3000):
        for step in range(40):
            shown = rng.permutation(6)[:2]
            took = rng.random() < TAKEN
            chosen = f"i{shown[0]}" if took else None
            rows.append((f"u{session}", chosen, step, [f"i{i}" for i in shown]))
            if rng.random() < 1 / 3:
                break
    log = pl.DataFrame(rows, ["user", "item", "time", "candidates"], orient="row")
    prepared(log, tmp_path / "data")
    # A slate's order is not seen by the logit, in which each of two takes half of .7.
    model = PooledChoice(6, 1, 2, pools=1, feature_size=2, hidden_size=2)
    leaving = LeavingModel(model.state_size)
    for parameter in [*model.parameters(), *leaving.parameters()]:
        torch.nn.init.zeros_(parameter)
    model.bias.data[1:] = torch.tensor(TAKEN / 2 / (1 - TAKEN)).log()
    leaving.linear.bias.data.fill_(torch.tensor(1 / 3).logit())
    noted = {"half": "all", "split_seed": 0, "candidates": 20}
    UserModel([model], leaving=leaving, offers=noted).save_pretrained(tmp_path / "users_b")
    for stage in ("data", "users_b"):
        (tmp_path / stage / STAMP).write_text('{"fingerprint": ""}')
    metrics = SimulatedStatistics(sessions=3000).evaluate(Run(tmp_path), 0).metrics
    for name in ("length", "popularity"):
        assert metrics[f"statistics/{name}/total_variation"] < 0.04
        assert metrics[f"statistics/{name}/total_variation/real_halves"] < 0.06
    assert abs(metrics["statistics/length/real"] - 3) < 0.15
    assert abs(metrics["statistics/length/simulated"] - 3) < 0.15
    assert abs(metrics["statistics/repeats/real"] - metrics["statistics/repeats/simulated"]) < 0.03
    # A third leave at each of up to 40 steps, seven in ten steps have a choice.
    assert abs(metrics["sessions/length"] - 3) < 0.15
    assert abs(metrics["sessions/accepted"] - 2.1) < 0.15
    assert metrics["sessions/repeats"] == pytest.approx(
        metrics["statistics/repeats/real"], abs=1e-6
    )


def test_spearman_is_the_mean_of_scipys_over_sets():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, 20, generator=generator)
    score = truth + torch.randn(40, 20, generator=generator)
    score[:, :3] = 0.5  # ties share their mean rank
    expected = [spearmanr(a, b).statistic for a, b in zip(score, truth, strict=True)]
    mean = spearman_within_sets(score, truth)
    assert mean == pytest.approx(sum(expected) / 40, abs=1e-12)
