"""The report says what came out, the unwelcome included."""

import json
import re
from types import SimpleNamespace

import pytest

from lightrec.evaluation import held_out
from lightrec.evaluation.base import Findings, keys_of
from lightrec.report import page as report
from lightrec.report.summary import owner
from lightrec.run import Run
from lightrec.stages import recipes
from lightrec.stages.evaluate import EARLY, early_ranking
from lightrec.stages.stage import Stage


def metrics_of(tiny_run):
    return json.loads((tiny_run / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("low", "high", "blend", "sure", "advice"),
    [
        (0.1, 0.2, 0.3, "The lists' lead over what is popular is", "Show these lists to a part"),
        (-0.1, 0.2, 0.3, "The difference may be chance.", "Go on showing what is popular"),
        (-0.2, -0.1, 0.3, "The lead of what is popular is", "Go on showing what is popular"),
        (0.1, 0.2, 0.97, "Not at all: the figures are too good", "Use nothing of it before"),
    ],
)
def test_the_owner_reads_what_was_found_how_sure_it_is_and_what_to_do(
    low, high, blend, sure, advice
):
    key = "test/blend-minus-popularity/ndcg@10"
    metrics = {**keys_of(key, ((low + high) / 2, low, high)), "test/events": 400}
    metrics |= {"test/blend/ndcg@10": blend, "test/popularity/ndcg@10": 0.1}
    metrics |= {"test/blend/recall@10": 0.416, "test/popularity/recall@10": 0.05}
    metrics |= {"test/blend/discovered/recall@10": 0.2, "test/popularity/discovered/recall@10": 0.1}
    found, second, third = (answer for _, answer in owner(metrics, SimpleNamespace(goal=["order"])))
    assert found == (
        "400 events of your customers (order) were hidden from lightrec. In 100 of them its list "
        "of ten held the item 42 times, and the ten most popular items 5 times; where the item was "
        "new to the customer, 20 and 10 times."
    )
    assert second.startswith(sure)
    assert third.startswith(advice)
    few = owner(metrics | {"test/events": 20}, SimpleNamespace(goal=[]))
    assert ("So few events decide little" in few[1][1]) == (blend < 0.9)
    assert owner({"mine/score": 0.5}, SimpleNamespace(goal=[])) == []


def test_the_report_shows_what_the_recipe_computes(tiny_run, tmp_path):
    held = {k: v for k, v in metrics_of(tiny_run).items() if k.startswith(("test/", "cold/"))}
    for found, shown in ((held_out.findings(held, held), True), (Findings({"a/b": 0.5}), False)):
        report.write(Run(tiny_run), tmp_path, found.metrics, [found], ["ranker"])
        page = (tmp_path / "report.html").read_text()
        assert (">The next event, on the held-out log</h2>" in page) == shown
        assert ">Whole sessions, in user model B</h2>" not in page
        assert ("held-out log" in (tmp_path / "summary.txt").read_text()) == shown


def test_the_early_table_is_that_of_the_evaluation(tiny_run):
    stage = Stage("evaluate", recipes.find("generic/evaluate")[1], tiny_run / "evaluate")
    # Equal scores stand in another order, and a policy is not there yet.
    found = sorted(early_ranking(stage).splitlines())
    shown = held_out.lines(metrics_of(tiny_run), metrics_of(tiny_run)).splitlines()
    assert found == sorted(line for line in shown if not line.startswith("policy"))
    (tiny_run / ".work" / EARLY).unlink()
    (tiny_run / ".work").rmdir()


def test_every_picture_has_words_and_the_page_needs_no_network(tiny_run):
    page = (tiny_run / "report.html").read_text()
    pictures = re.findall(r"<svg[^>]*>", page)
    assert (len(pictures) >= 6, page.count("<script")) == (True, 2)  # the page's own, and its words
    assert all(re.search(r'role="img" aria-label="[^"]+"', picture) for picture in pictures)
    assert not re.search(r'<link|(?:src|href)="(?!#)', page.replace('xlink:href="#', ""))
    assert len(page.encode()) < 2_000_000
