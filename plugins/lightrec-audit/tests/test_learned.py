"""What was learned is in the reward's folder, in TensorBoard and in the report."""

import json

from lightrec_audit.learned import LearnedRewardSection
from lightrec_audit.reward import EXPLAINED

from lightrec.run import Run


def test_a_run_shows_what_was_learned(tiny_run):
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    found = json.loads((tiny_run / "users_a" / EXPLAINED).read_text())
    assert metrics["choice/a/linear/log_likelihood"] < 0
    page = (tiny_run / "report.html").read_text()
    assert "What was learned" in page
    assert found["best"][0]["title"] in page
    [section] = LearnedRewardSection().evaluate(Run(tiny_run), 0).sections
    assert section.tables[0].head[-1] == "of the other users"
    assert f"{metrics['choice/a/linear/log_likelihood']:.3f}" in section.text
