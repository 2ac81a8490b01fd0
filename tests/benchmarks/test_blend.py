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
    assert table({"a log/seed-0": cell}).splitlines()[2:] == [
        "| a log | 1,234 | 0.3000 | searched | 0.2000 | EASE 0.2500 | +0.050 (+0.010 to +0.090) |"
    ]
