"""The report says what came out, the unwelcome included."""

import json
import re
from types import SimpleNamespace

import pytest

from lightrec.evaluation import held_out, session_tables
from lightrec.evaluation.base import Findings, keys_of
from lightrec.evaluation.evidence import Favoured
from lightrec.evaluation.session_tables import ALL, HOME
from lightrec.report import page as report
from lightrec.report.summary import owner
from lightrec.run import Run
from lightrec.stages import recipes
from lightrec.stages.evaluate import EARLY, early_ranking
from lightrec.stages.stage import Stage


def metrics_of(tiny_run):
    return json.loads((tiny_run / "metrics.json").read_text())


def test_lines_for_the_owner_and_three_questions_open_the_page(tiny_run):
    top, *_ = (tiny_run / "report.html").read_text().partition("<svg")
    questions = re.findall(r"<dt>(.*?)</dt>", top)
    assert questions[:3] == ["What was found", "How sure is it?", "What to do next"]
    assert questions[3:] == ["Is it better?", "By how much?", "Can I believe it?"]
    [(_, alone)] = report.questions([], Favoured("blend", "It was asked for."))
    assert alone == "`lightrec recommend` ranks by the blend (--by blend). It was asked for."


def test_the_user_models_sessions_stand_beside_the_logs():
    metrics = {"sessions/length": 4.0, "sessions/accepted": 4.0, "sessions/conversion": 0.25}
    for place in ("simulator", "simulator_a"):
        metrics |= {f"{place}/blend/length": 17.0, f"{place}/blend/accepted": 4.5}
    section = session_tables.against_log(metrics)
    assert section.tables[0].rows == [
        ["steps", "4.000", "17.000", "17.000"],
        ["choices", "4.000", "4.500", "4.500"],
        ["conversion", "0.250", "–", "–"],
    ]
    sentence = "unlike the log's: steps (17.000 and 17.000 against 4.000 in the log)."
    assert session_tables.unlike(metrics).endswith(sentence)
    assert sentence in section.text
    assert not session_tables.unlike(metrics | {f"{p}/blend/length": 5.9 for p in (ALL, HOME)})
    assert session_tables.against_log({"sessions/length": 4.0}) is None


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


def subsets(metrics):
    """The metrics as they are without some evaluators of the recipe, and what these found."""
    ranked = ("test/", "cold/")
    played = ("simulator/", "simulator_new/", "simulator_a/", "transfer_ratio/", "recommend/")
    others = {k: v for k, v in metrics.items() if not k.startswith(ranked + played)}
    held = {k: v for k, v in metrics.items() if not k.startswith(played)}
    sessions_alone = {k: v for k, v in metrics.items() if not k.startswith(ranked)}
    return {
        "held-out log": (held, held_out.findings(held, metrics)),
        "sessions": (sessions_alone, session_tables.findings(sessions_alone)),
        "a plugin's": ({**others, "mine/score": 0.5}, Findings({"mine/score": 0.5})),
    }


@pytest.mark.parametrize(
    ("left", "headings"),
    [
        ("held-out log", {"The next event, on the held-out log"}),
        ("sessions", {"Whole sessions, in user model B"}),
        ("a plugin's", set()),
    ],
)
def test_the_report_shows_what_the_recipe_computes(tiny_run, tmp_path, left, headings):
    metrics, found = subsets(metrics_of(tiny_run))[left]
    report.write(Run(tiny_run), tmp_path, metrics, [found], ["ranker"])
    page = (tmp_path / "report.html").read_text()
    titles = {"The next event, on the held-out log", "Whole sessions, in user model B"}
    assert {heading for heading in titles if f">{heading}</h2>" in page} == headings
    summary = (tmp_path / "summary.txt").read_text()
    assert ("held-out log" in summary) == (left == "held-out log")
    assert ("accepted" in summary) == (left == "sessions")
    assert (tmp_path / "report.png").is_file() == bool(headings)


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
    assert len(pictures) >= 6
    assert all(re.search(r'role="img" aria-label="[^"]+"', picture) for picture in pictures)
    assert not re.search(r'(?:src|href)="(?!#)', page.replace('xlink:href="#', ""))
    assert len(page.encode()) < 2_000_000


def test_calibration_is_drawn_of_bins_with_enough_forecasts(tiny_run, monkeypatch):
    monkeypatch.setattr(report, "FORECASTS", 1)
    run = Run(tiny_run)
    counts = json.loads((run.folder("users_a") / "reliability.json").read_text())
    drawn = report.calibration(run, "a")
    bins = [each for each in zip(*counts, strict=True) if each[0] >= 1]
    assert [forecast / weight for weight, forecast, _ in bins] == list(drawn.x)
    assert [happened / weight for weight, _, happened in bins] == list(drawn.y)
    # Of each set one alternative, or nothing, came true, and its forecasts add up to 1.
    assert abs(sum(counts[1]) - sum(counts[2])) < 1e-3 * sum(counts[2])
    assert drawn.even


META = {
    "order": "time",
    "settings": {"weights": {"purchase": 2.5}},
    "used": {"view": 900, "purchase": 100, "skip": 0},
    "counts": {
        **{"events_read": 1200, "dropped_without_user": 0, "dropped_duplicate": 150},
        **{"dropped_k_core": 50, "events": 1000, "users": 10, "items": 20},
        **{"users_with_one_event": 3, "items_without_row": 0},
    },
}


def test_a_goal_is_told_with_its_events_and_who_reached_it():
    settings = {**META["settings"], "goal": ["purchase"]}
    counts = {**META["counts"], "validation": 7, "test": 8, "users_with_goal": 9}
    meta = {**META, "settings": settings, "counts": counts}
    sentence = (
        "The goal is purchase: 7 validation and 8 test events, all NDCG is of it, and 9 of 10 "
        "users (90.0%) reached it."
    )
    assert report.data_lines(meta).splitlines()[2] == f"{sentence} Used are view 900, purchase 100."
    counts["leads"] = 1_234
    hidden = "1,234 events only led to it in the same visit and are in no history."
    assert f"{sentence} {hidden}" in report.data_section(meta).text


def test_the_section_adds_up():
    events, used, kept = report.data_section(META).tables
    assert used.rows == [["view", "900", "1"], ["purchase", "100", "2.5"]]
    numbers = [int(cell.replace(",", "")) for _, cell in events.rows]
    assert numbers[0] - sum(numbers[1:-1]) == numbers[-1]
    assert [row[1] for row in kept.rows] == ["3"]
    assert "ordered by time" in report.data_section(META).text
