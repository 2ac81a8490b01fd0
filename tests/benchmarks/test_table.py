"""Tables of the documentation: pivots of the tidy table of results, as their files declare them."""

import json

import pytest

from benchmarks import derived, store, table
from benchmarks.run import names


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """Declare a table over results of two seeds."""
    cells = {
        f"log/seed-{seed}": {
            "seed": seed,
            "metrics": {"a/gain": gain, "b/gain": 1, "ways": way, "curve": [1, 2]}
            | {f"a/gain{end}": gain + far for end, far in (("/low", -1), ("/high", 1))},
        }
        for seed, gain, way in ((3, 0.25, "mean"), (4, -1.5, "ndcg"))
    }
    (tmp_path / "made.json").write_text(json.dumps(cells))
    monkeypatch.setattr(store, "RESULTS", tmp_path)

    def of(**own):
        monkeypatch.setattr(table, "declared", lambda _: {"tables": {"x": own}})
        return table.table("made", "x").splitlines()[2:]

    return of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{log/seed-3|a/gain:.2f}", "0.25"),
        ("{a/gain:.3f}, {lowest~a/gain:.1f} of {count~a/gain:d}", "-0.625, -1.5 of 2"),
        ("{each~a/gain:.2f}", "0.25, -1.50"),
        ("{interval~log/seed-3|a/gain:+.1f}", "+0.2 (-0.8 to +1.2)"),
        ("{words~ways:}", "mean, searched"),
        ("{log/seed-9|a/gain:.2f}", "–"),
    ],
)
def test_figures_in_texts(declared, text, shown):
    found = declared(head=["", "x"], rows=["r"], texts=[text], words={"ndcg": "searched"})
    assert found == [f"| r | {shown} |"]


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
