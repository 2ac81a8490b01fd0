"""Tables of the documentation: pivots of the tidy table of results, as their files declare them."""

import pytest

from benchmarks import derived, table
from benchmarks.run import names


@pytest.mark.parametrize("name", names())
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
