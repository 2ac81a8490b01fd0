"""The runner: cells as their files describe them, run once, kept with how they were had."""

import sys

import pytest
import yaml

from benchmarks import run, store

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
