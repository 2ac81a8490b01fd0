"""What the benchmark of the whole demo sets in its tables."""

from benchmarks.cells import today
from benchmarks.video import advantages, ranking, sessions


def cell(seed, gain):
    metrics = {
        "test/ndcg@10": 0.13 + seed / 1000,
        "test/recall@10": 0.2,
        "test/policy/ndcg@10": 0.12,
        "test/popularity/ndcg@10": 0.04,
        "simulator/policy/accepted": 9.0 + gain,
        "simulator/popularity/accepted": 9.0,
        "simulator/policy-minus-popularity/accepted": gain,
        "simulator/policy-minus-popularity/accepted/low": gain - 0.1,
        "simulator/policy-minus-popularity/accepted/high": gain + 0.1,
    }
    return {"seed": seed, "metrics": metrics}


CELLS = {f"ml-100k/seed-{seed}": cell(seed, gain) for seed, gain in ((0, 9.0), (3, 0.5), (4, -0.5))}


def test_seeds_that_recipes_were_made_by_are_not_reported():
    assert ranking(CELLS).splitlines()[2:] == [
        "| 3 | 0.133 | 0.200 | 0.120 | 0.040 | – |",
        "| 4 | 0.134 | 0.200 | 0.120 | 0.040 | – |",
        "| mean | 0.134 | 0.200 | 0.120 | 0.040 |  |",
    ]


def test_contenders_stand_in_rows_and_seeds_in_columns():
    assert sessions(CELLS).splitlines()[2:] == [
        "| policy | 9.50 | 8.50 | 9.00 |",
        "| popularity | 9.00 | 9.00 | 9.00 |",
    ]
    assert advantages(CELLS, "simulator/policy-minus-NAME/accepted").splitlines()[2:] == [
        "| popularity | +0.50 (+0.40 to +0.60) | -0.50 (-0.60 to -0.40) |"
    ]


def test_results_of_earlier_runs_are_read_under_the_names_of_today():
    named = ("simulator/policy/return", "simulator/policy/reward", "simulator/policy/reward_a")
    more = {"share_kept/random/return/low": 3, "choice/b/return/constant": 4}
    old = {"old": {"metrics": dict(zip(named, range(3), strict=True)) | more}}
    new = today(old)["old"]["metrics"]
    assert new == {
        "simulator/policy/accepted": 0,
        "simulator/policy/return": 1,
        "simulator/policy/reward_a": 2,
        "transfer_ratio/random/accepted/low": 3,
        "choice/b/return/constant": 4,
    }
    assert today({"new": {"metrics": new}})["new"]["metrics"] == new


def test_without_cells_the_tables_are_empty():
    assert ranking({}).count("\n") == sessions({}).count("\n") == 1
