"""The report says what came out, the unwelcome included."""

import json

from lightrec.pipeline import report


def metrics_of(tiny_run):
    return json.loads((tiny_run / "metrics.json").read_text())


def test_a_loss_is_told_in_plain_words(tiny_run):
    metrics = metrics_of(tiny_run)
    key = "simulator/policy-minus-greedy/return"
    metrics |= {key: -0.7, f"{key}/low": -0.9, f"{key}/high": -0.5}
    metrics |= {"test/ndcg@10": 0.01, "test/popularity/ndcg@10": 0.02}
    sentences = report.verdict(metrics)
    assert "The encoder does not beat popularity on this log." in sentences
    assert any("hold fewer accepted items than those of greedy by encoder" in s for s in sentences)


def test_the_summary_has_a_line_for_every_contender(tiny_run):
    text = report.summary(metrics_of(tiny_run))
    for title in report.CONTENDERS.values():
        assert any(line.startswith(title) for line in text.splitlines())
