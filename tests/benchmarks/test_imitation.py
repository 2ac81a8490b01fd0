import pytest

from benchmarks.imitation.table import controls, numbers, part, table


def cell(seed, seconds, stopped=None):
    metrics = {
        "training_cpu_seconds": seconds,
        "stopped_after_cpu_seconds": stopped or seconds,
        "steps": 64_000,
        "return": 480.0,
        "best_return": 490.0,
    }
    return {"metrics": metrics, "cpu_seconds": 20.0, "seed": seed}


CELLS = {
    "lightrec/gail/seed-0": cell(0, 1.0),
    "lightrec/gail/seed-3": cell(3, 5.0),
    "lightrec/gail/seed-4": cell(4, 15.0),
    "imitation/gail/seed-0": cell(0, 80.0),
    "imitation/gail/seed-1": cell(1, None, 240.0),
    "lightrec/airl/seed-0": cell(0, 5.0),
    "control/gail/seed-0": cell(0, None, 30.0),
    "choices/airl/seed-3": {
        "metrics": {"reward/spearman": 0.8, "policy/spearman": 0.7},
        "cpu_seconds": 300.0,
        "seed": 3,
    },
}


def test_numbers_are_parts_of_the_peers_mean_on_seeds_that_nothing_was_chosen_on():
    assert numbers(CELLS) == {
        "gail/part_of_imitation": pytest.approx(10 / 160),
        "gail/part_of_imitation/worst_seed": pytest.approx(15 / 160),
        "choices/airl/seed-3/reward/spearman": 0.8,
        "choices/airl/seed-3/policy/spearman": 0.7,
    }
    assert part(CELLS, "gail") == "6%"


def test_table_says_who_did_not_arrive_and_which_seeds_were_chosen_on():
    assert table(CELLS).splitlines()[2:] == [
        "| lightrec GAIL | 3, 4 | 5.0, 15.0 | 64, 64 | 20, 20 |",
        "| `imitation` GAIL | 0, 1 | 80.0, not in 240 | 64, 64 | 20, 20 |",
        "| lightrec AIRL | 0 * | 5.0 | 64 | 20 |",
    ]
    assert controls(CELLS).splitlines()[2] == "| GAIL | 0 * | 480 | 490 |"
