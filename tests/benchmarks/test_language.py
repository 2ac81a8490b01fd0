"""The table of what language is worth: which cell a number is from, and users that are drawn."""

import polars as pl

from benchmarks.language import advantages, sampled, table


def test_numbers_are_means_over_seeds_of_the_group_that_measures_them():
    sizes = {"users": 10, "events": 9}
    ahead = {
        f"both-minus-ids/ndcg@10{end}": x for end, x in (("", 0.2), ("/low", 0.1), ("/high", 0.3))
    }
    cells = {
        "beauty/2/seed-3/closed": {"metrics": {**sizes, **ahead, "ids/ndcg@10": 0.1}},
        "beauty/2/seed-4/closed": {"metrics": {**sizes, **ahead, "ids/ndcg@10": 0.2}},
        "beauty/2/seed-3/tuned": {"metrics": {**sizes, "tuned/ndcg@10": 0.5}},
    }
    row = "| Beauty, 2 % | 10 | 9 | – | 0.1500 | – | – | – | 0.5000 | – | – |"
    assert table(cells).splitlines()[2:] == [row]
    assert "| +0.2000 (+0.1000 to +0.3000) |" in advantages(cells).splitlines()[2]


def test_users_are_drawn_with_all_their_events(tmp_path):
    log = pl.DataFrame({"user": [n // 3 for n in range(300)], "item": range(300)})
    log.write_csv(tmp_path / "a.csv")
    sampled("a", 10, 3, tmp_path)
    drawn = pl.read_csv(tmp_path / "a-10-3.csv")
    assert drawn["user"].n_unique() == 10
    assert len(drawn) == 30
    sampled("a", 10, 4, tmp_path)
    assert not pl.read_csv(tmp_path / "a-10-4.csv").equals(drawn)
