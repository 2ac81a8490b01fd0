"""Logged sessions played anew: where the user model is the log's own law, they look the same."""

import json

import numpy as np
import polars as pl
import torch

from lightrec.data.domain import Domain
from lightrec.data.files import STAMP
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare
from lightrec.evaluation.statistics import SimulatedStatistics
from lightrec.run import Run
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import LeavingModel
from lightrec.users.user_model import UserModel

TAKEN = 0.7


def test_the_true_law_makes_the_log_again(tmp_path):
    """Of two items shown the first is taken with probability .7, and a third leave at each step."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(3000):
        for step in range(40):
            shown = rng.permutation(6)[:2]
            took = rng.random() < TAKEN
            rows.append(
                {
                    "user": f"u{session}",
                    "item": f"i{shown[0]}" if took else None,
                    "time": step,
                    "candidates": [f"i{i}" for i in shown],
                }
            )
            if rng.random() < 1 / 3:
                break
    store = prepare(
        InteractionLog(pl.DataFrame(rows)),
        tmp_path / "data",
        domain=Domain(),
        minimum_value=None,
        k_core=0,
        split="leave-one-out",
        equal_times="file",
        seed=0,
    )
    assert store.categories() is None
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
    findings = SimulatedStatistics(sessions=3000).evaluate(Run(tmp_path), 0)
    found = findings.metrics
    for name in ("length", "popularity"):
        assert found[f"statistics/{name}/total_variation"] < 0.04
        assert found[f"statistics/{name}/total_variation/real_halves"] < 0.06
    assert abs(found["statistics/length/real"] - 3) < 0.15
    assert abs(found["statistics/length/simulated"] - 3) < 0.15
    assert abs(found["statistics/repeats/real"] - found["statistics/repeats/simulated"]) < 0.03
    (section,) = findings.sections
    panels = [chart.label.split(" by ")[0] for chart in section.charts]
    assert panels == ["share of choices", "share of sessions"]
    assert [row[0] for row in section.tables[0].rows] == ["session length", "popularity of items"]


def test_a_run_compares_what_its_log_can_tell(tiny_run):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    # How users leave is an assumption there, and no session has two events to go from and to.
    told = {key.split("/")[1] for key in metrics if key.startswith("statistics/")}
    assert told == {"popularity", "repeats"}
    assert 0 <= metrics["statistics/popularity/total_variation"] <= 1
    assert "Simulated and real sessions" in (tiny_run / "report.html").read_text()
