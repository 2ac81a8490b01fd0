import pytest

from benchmarks.imitation.table import numbers, table


def cell(seconds, stopped=None):
    metrics = {
        "training_cpu_seconds": seconds,
        "stopped_after_cpu_seconds": stopped or seconds,
        "steps": 64_000,
        "return": 480.0,
    }
    return {"metrics": metrics, "cpu_seconds": 20.0}


CELLS = {
    "lightrec/gail/seed-0": cell(5.0),
    "lightrec/gail/seed-1": cell(15.0),
    "imitation/gail/seed-0": cell(80.0),
    "imitation/gail/seed-1": cell(None, 240.0),
    "lightrec/airl/seed-0": cell(5.0),
    "choices/airl/seed-0": {
        "metrics": {"reward/spearman": 0.8, "policy/spearman": 0.7},
        "cpu_seconds": 300.0,
    },
}


def test_numbers_are_parts_of_the_peers_mean():
    found = numbers(CELLS)
    assert found == {
        "gail/part_of_imitation": pytest.approx(10 / 160),
        "gail/part_of_imitation/worst_seed": pytest.approx(15 / 160),
        "choices/airl/seed-0/reward/spearman": 0.8,
        "choices/airl/seed-0/policy/spearman": 0.7,
    }


def test_table_says_who_did_not_arrive():
    lines = table(CELLS).splitlines()
    assert "| imitation/gail | 80.0, not in 240 | 64 k, 64 k | 480, 480 | 20, 20 |" in lines
    assert len(lines) == 2 + 3
