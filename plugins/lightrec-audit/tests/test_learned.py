"""What was learned is in the reward's folder, in TensorBoard and in the report."""

import json

from lightrec_audit.learned import WEIGHTS, learned_reward, tables
from lightrec_audit.reward import EXPLAINED

from lightrec.run import Run

ROW = {"feature": "kind: tea", "weight": 0.5, "error": 0.1, "low": 0.3, "high": 0.7}
ITEM = {"title": "Tea | red", "reward": 1.25, "events": 1200}
FOUND = {
    "linear": [ROW | {"feature": f"f{i}", "error": 1.0 + i} for i in range(WEIGHTS)] + [ROW],
    "parts": [{"part": "popularity", "mean": -0.25, "size": 0.5}],
    "choices": 200,
    "baseline": -2.0,
    "best": [ITEM],
    "worst": [ITEM],
    "looked_at": 1349,
}


def test_tables_say_what_was_found():
    linear, parts, best, worst = tables(FOUND, {"linear": [ROW | {"low": -1.0}]})
    # The surest first, and no more than are shown.
    assert len(linear.rows) == WEIGHTS
    assert linear.rows[0] == ["kind: tea", "+0.500", "+0.300 to +0.700", "-1.000 to +0.700"]
    assert parts.rows == [["popularity", "-0.250", "0.500"]]
    assert best.head[0] == "best of 1,349 items"
    assert worst.rows == [["Tea | red", "+1.250", "1,200"]]
    assert tables(FOUND)[0].head == ["feature", "weight", "95 % interval"]


def test_a_run_shows_what_was_learned(tiny_run):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    found = json.loads((tiny_run / "users_a" / EXPLAINED).read_text())
    assert metrics["choice/a/linear/log_likelihood"] < 0
    assert {row["feature"] for row in found["linear"]} >= {"any item", "popularity (log)"}
    page = (tiny_run / "report.html").read_text()
    assert "What was learned" in page
    assert found["best"][0]["title"] in page
    run = Run(tiny_run)
    section = learned_reward(run, run.metrics("users_a"))
    assert section.tables[0].head[-1] == "of the other users"
    assert f"{metrics['choice/a/linear/log_likelihood']:.3f}" in section.text
    assert learned_reward(Run(tiny_run / "data"), {}) is None
