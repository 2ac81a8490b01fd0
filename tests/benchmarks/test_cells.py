"""Cells and tables that ship name what is there, and the runner runs and keeps each cell once."""

import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import derived, logs, run, store, table
from lightrec.__main__ import main
from lightrec.cli.run import stages

ROOT = Path(run.__file__).parent


def lines(name):
    """The command lines of `lightrec run` in a benchmark, each once."""
    found = {}
    for cell in run.load(name).cells:
        words = [*cell.command]
        if words[:2] == [run.LIGHTREC, "run"]:
            found[tuple(words[2:-4])] = cell.key
    return found


@pytest.mark.parametrize("name", run.names())
def test_what_a_cell_names_is_there(name):
    made = run.load(name)
    assert len({cell.key for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        words = cell.command
        if cell.peer:
            needed = [ROOT / "peers" / "requirements" / f"{cell.peer}.txt", Path(words[1])]
        else:
            module = words[3].partition(":")[0]
            needed = [ROOT / "measure" / f"{module}.py"] if "-m" in words else []
        assert all(path.is_file() for path in needed)
        writers = {each.partition(" ")[0] for each in cell.files} - {*logs.SHARED}
        assert all(callable(getattr(logs, each)) for each in writers)


def test_the_results_keep_their_limits():
    run.hold(run.names())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in run.names() if lines(name)])
def test_settings_are_those_of_the_recipes(name, monkeypatch, tmp_path):
    class Planned(Exception):
        """Nothing is run."""

    def planned(domain, *, overrides, until=None, offline=False, **_):
        values = stages.values_of(overrides.pop(stages.VALUES, []))
        _, found = stages.find_recipes(domain, ["far"] * offline, values, until)
        for stage in stages.plan(found, tmp_path, {}, 0, overrides, until):
            stages.check(stage)
        raise Planned

    monkeypatch.setattr(stages, "run", planned)
    for words in lines(name):
        with pytest.raises(Planned):
            main(["run", *words])


@pytest.mark.parametrize("name", run.names())
def test_every_declared_table_has_results(name):
    for made in table.tables(name):
        head, _, *rows = made.splitlines()
        assert {row.count(" | ") for row in rows} == {head.count(" | ")}
        assert any(character.isdigit() for character in rows[-1].partition(" | ")[2])


def test_the_best_part_is_that_of_the_test_events():
    test = {"blend": 0.3, "likelihood": 0.2, "ranker": 0.1, "EASE": 0.25}
    metrics = {f"test/{name}/ndcg@10": value for name, value in test.items()}
    metrics |= {f"test/blend-minus-EASE/ndcg@10{end}": 0.05 for end in ("", "/low", "/high")}
    found = derived.best_part({"a log/seed-3": {"metrics": metrics}})["a log/seed-3"]
    assert (found["best/part"], found["best/ndcg@10"], found["best/ahead"]) == ("EASE", 0.25, 0.05)


WRITES = "import sys; open(sys.argv[1] + '/metrics.json', 'w').write('{\"gain\": 2}')"


@pytest.fixture
def described(tmp_path, monkeypatch):
    """Make benchmarks of their descriptions, with folders of their own."""
    (tmp_path / "cells").mkdir()
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(store, "RESULTS", tmp_path / "results")

    def of(**description):
        text = yaml.safe_dump({"cells": {}} | description, sort_keys=False)
        (tmp_path / "cells" / "made.yaml").write_text(text)
        return run.load("made")

    return of


def cell(key, code, **settings):
    return run.Cell(key, 3, (sys.executable, "-c", code, "{out}"), "metrics.json", **settings)


def test_a_cell_s_result_is_kept_with_how_it_was_had(described):
    runner = run.Runner(described(), None)
    runner.run([cell("a/seed-3", WRITES)])
    kept = store.read("made")["a/seed-3"]
    assert (kept["metrics"], kept["seed"]) == ({"gain": 2}, 3)
    assert {"commit", "cpu_seconds", "machine", "versions"} <= {*kept}
    assert kept["command"] == f"python -c {WRITES} {{out}}"
    assert "a/seed-3" in run.Runner(described(), None).cells
    with pytest.raises(RuntimeError, match=r"b failed with status 7"):
        runner.run([cell("b", "raise SystemExit(7)")])
    assert [*store.read("made")] == ["a/seed-3"]


@pytest.mark.parametrize(("limit", "kept"), [(">= 2", True), (">= 2.5", False), ("<= 1", False)])
def test_results_are_held_to_their_limits(described, limit, kept):
    benchmark = described(limits={"mean~a/*|gain": limit})
    run.Runner(benchmark, None).run([cell("a/seed-3", WRITES)])
    assert (run.broken(benchmark) == []) is kept
