"""The tables of what a moved ranker is worth, and who learns and who tests."""

import polars as pl

from benchmarks.transfer import COLUMNS, PAIRS, advantages, shares, table


def test_numbers_are_means_over_seeds():
    def cell(value):
        metrics = {f"{name}/ndcg@10": value for name in COLUMNS} | {"users": 6}
        for one, other in PAIRS:
            key = f"{one}-minus-{other}/ndcg@10"
            metrics |= {key: value, f"{key}/low": value - 0.1, f"{key}/high": value + 0.1}
        return {"metrics": metrics}

    cells = {"films-food/1/seed-3": cell(0.1), "films-food/1/seed-4": cell(0.2)}
    cells["films-food/10/seed-3"] = cell(0.3)
    row = "| films → recipes, 1 % | 6 | 2 | " + " | ".join(["0.1500"] * len(COLUMNS)) + " |"
    assert table(cells).splitlines()[2:][0] == row
    assert advantages(cells).count("| +0.1500 (+0.0500 to +0.2500) ") == len(PAIRS)


def test_who_tests_is_in_no_share(tmp_path):
    log = pl.DataFrame({"user": [n // 3 for n in range(300)], "item": range(300)})
    log.write_csv(tmp_path / "a.csv")
    paths = [shares("a", share, 3, tmp_path) for share in (10, 100)]
    assert paths[0][1] == paths[1][1]
    users = [set(pl.read_csv(path)["user"]) for path in (paths[0][0], paths[1][0], paths[0][1])]
    assert [*map(len, users)] == [7, 70, 30]
    assert users[0] < users[1]
    assert not users[1] & users[2]
