"""The generated log of the benchmark of blends, and its table."""

import numpy as np
import pytest

from benchmarks.blend import chain, table


def test_in_a_chain_two_of_three_events_follow_from_the_one_before():
    users, items = 300, 60
    log = chain(3, users, items)
    followers = np.random.default_rng(3).integers(0, items, (items, 4))
    user, item = log["user"].to_numpy(), log["item"].to_numpy()
    follows = (followers[item[:-1]] == item[1:, None]).any(1)[user[1:] == user[:-1]]
    # What was met before is left out, which hits followers and others alike; a popular item may
    # be a follower, too.
    assert follows.mean() == pytest.approx(2 / 3, abs=0.06)
    assert not log.select("user", "item").is_duplicated().any()


def test_the_best_part_is_that_of_the_test_events():
    test = {"blend": 0.3, "likelihood": 0.2, "ranker": 0.1, "EASE": 0.25}
    metrics = {f"test/{name}/ndcg@10": value for name, value in test.items()}
    ahead = {"": 0.05, "/low": 0.01, "/high": 0.09}
    metrics |= {f"test/blend-minus-EASE/ndcg@10{end}": value for end, value in ahead.items()}
    cell = {"metrics": metrics | {"chosen": "ndcg", "test/events": 1234}}
    other = {"metrics": cell["metrics"] | {"chosen": "part", "test/blend-minus-EASE/ndcg@10": 0.01}}
    found = table({"a log/seed-3": cell, "a log/seed-4": other}).splitlines()[2:]
    shown = "0.3000 | best part, searched | 0.2000 | EASE 0.2500 | +0.030 (+0.010 to +0.090)"
    assert found == [f"| a log | 2 | 1,234 | {shown} | +0.010 |"]
