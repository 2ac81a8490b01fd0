"""An export that answers, and lists in batches: by towers that are written down here."""

from pathlib import Path
from types import MappingProxyType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightrec_export import batch, exported
from lightrec_serve import export_engine
from lightrec_serve.engine import Query, Ranked
from lightrec_serve.export_engine import ExportEngine

from lightrec.errors import DataError, RecipeError

ITEMS, SIZE = 30, 4


class Towers:
    """What an export holds: a history's query is the sum of its last five rows."""

    blend = None
    repeats, note, history_length, worth, goal = False, "", 5, MappingProxyType({}), ()
    kinds = {"even": "number"}  # noqa: RUF012
    about = {"run": "towers"}  # noqa: RUF012

    def __init__(self, path):
        draw = torch.Generator().manual_seed(3)
        self.table = torch.randn(ITEMS + 1, SIZE, generator=draw)
        self.bias = torch.randn(ITEMS + 1, generator=draw)
        self.table[0] = 0
        names = [f"i{n}" for n in range(1, ITEMS + 1)]
        words = [f"blue {n}" if n % 3 else f"red {n}" for n in range(1, ITEMS + 1)]
        even = [1 - n % 2 for n in range(1, ITEMS + 1)]
        columns = {"item": names, "title": names, "text": words, "even": even}
        self.catalog = pl.DataFrame(columns)
        self.text_vectors, self.encode = torch.zeros(ITEMS + 1, 0), None
        self.events = torch.ones(ITEMS + 1, dtype=torch.int64)

    def queries(self, histories):
        assert histories.shape[1] <= 5
        return self.table[histories].sum(1)

    def histories(self):
        return {"ann": (1, 2, 3), "bob": (4,)}


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(export_engine, "Exported", Towers)
    return ExportEngine(Path("towers"))


def expected(history, k, barred, allowed=lambda n: True):
    """Sort all items by hand."""
    held = Towers(Path())
    scores = held.table @ held.table[history[-5:]].sum(0) + held.bias
    order = sorted(range(1, ITEMS + 1), key=lambda n: -float(scores[n]))
    return [n for n in order if n not in barred and allowed(n)][:k]


def items(answer):
    assert isinstance(answer, Ranked), answer
    return answer.items


def test_answers_are_the_best_products(engine):
    """Together and alone, of users, histories, filters and candidates."""
    queries = [
        Query(user="ann", k=4),
        Query(user="ann", history=("i9",), dismissed=("i8",), k=6),
        Query(history=("i4", "i5", "i6", "i7", "i8", "i9"), k=5),
        Query(history=("i9",), only=("even=1",), k=40),
        Query(history=("i9",), candidates=("i1", "i2", "nowhere"), k=3),
        Query(user="nobody", history=("i9",), exclude=("i2",), k=3),
    ]
    right = [
        expected([1, 2, 3], 4, {1, 2, 3}),
        expected([1, 2, 3, 9], 6, {1, 2, 3, 8, 9}),
        expected([4, 5, 6, 7, 8, 9], 5, {4, 5, 6, 7, 8, 9}),
        expected([9], 40, {9}, lambda n: n % 2 == 0),
        expected([9], 3, {9}, lambda n: n < 3),
        expected([9], 3, {9, 2}),
    ]
    assert [items(answer) for answer in engine.answer(queries)] == right
    assert [items(engine.answer([query])[0]) for query in queries] == right


def test_what_an_export_cannot_do_is_said(engine):
    """And does not touch the others."""
    wrong = [Query(ask="red"), Query(profile={"age": 3}), Query(history=("what",))]
    *refused, fine = engine.answer([*wrong, Query(user="bob", k=2)])
    assert all(isinstance(each, RecipeError) for each in refused)
    assert items(fine) == expected([4], 2, {4})
    with pytest.raises(RecipeError, match="not both"):
        Query(new=1, draw=True)


def test_an_item_put_is_the_mean_of_those_with_like_texts(engine):
    """It stands in the next answer where a place is kept, and is gone once deleted."""
    assert engine.put("red new", {"title": "New", "text": "red"}) == ITEMS + 1
    near, loud = engine.newcomers.near[0], engine.newcomers.loud[0]
    assert {int(n) % 3 for n, w in zip(near, loud, strict=True) if w > 0} == {0}
    held = Towers(Path())
    torch.testing.assert_close(engine.live[0, :-1], loud @ held.table[near])
    kept = items(engine.answer([Query(user="bob", k=3, new=1)])[0])
    assert kept == [*expected([4], 2, {4}), ITEMS + 1]
    score = float(engine.live[0] @ torch.cat([held.table[4], torch.ones(1)]))
    others = {n: float(held.table[4] @ held.table[n] + held.bias[n]) for n in range(1, ITEMS + 1)}
    better = sum(its > score for n, its in others.items() if n != 4)
    plain, dismissing = engine.answer(
        [Query(user="bob", k=ITEMS + 1), Query(user="bob", k=ITEMS + 1, dismissed=("red new",))]
    )
    assert items(plain).index(ITEMS + 1) == better
    assert items(dismissing) == expected([4], ITEMS, {4})
    engine.catalog.delete(["red new"])
    assert items(engine.answer([Query(user="bob", k=3, new=1)])[0]) == expected([4], 3, {4})


def test_reasons_are_events_without_which_an_item_is_less_likely(engine):
    """The largest loss first, by leaving out by hand."""
    (answer,) = engine.answer([Query(history=("i4", "i5", "i6"), k=2, explain=True)])
    held = Towers(Path())

    def likely(history):
        logits = held.table @ held.table[history].sum(0) + held.bias
        return (logits.log_softmax(0))[items(answer)]

    whole = likely([4, 5, 6])
    lost = {n: whole - likely([m for m in (4, 5, 6) if m != n]) for n in (4, 5, 6)}
    for place, reasons in enumerate(answer.why):
        helped = [n for n in (4, 5, 6) if lost[n][place] > 0]
        assert reasons == sorted(helped, key=lambda n: -float(lost[n][place]))


@pytest.fixture
def people(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "Exported", Towers)
    path = tmp_path / "people.parquet"
    histories = [["i1", "i2", "i3"], ["i4"], [], ["nowhere", "i9"], None]
    pq.write_table(pa.table({"user": list("abcde"), "history": histories}), path, row_group_size=2)
    return path


def test_lists_in_batches_are_those_of_the_engine(people, tmp_path, monkeypatch, capsys):
    """Row groups, batches and unknown ids make no difference."""
    monkeypatch.setattr(batch, "ROWS", 2)
    batch.batch(tmp_path, people, out=tmp_path / "lists.parquet", k=4)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert lists["user"].to_list() == list("abcde")
    histories = [[1, 2, 3], [4], [], [9], []]
    right = [[f"i{n}" for n in expected(h, 4, set(h))] for h in histories]
    assert lists["items"].to_list() == right
    assert all(scores == sorted(scores, reverse=True) for scores in lists["scores"].to_list())
    assert "lists for 5 people" in capsys.readouterr().out


def test_people_that_cannot_be_read_are_refused(people, tmp_path):
    """In a sentence, with nothing written."""
    out = tmp_path / "lists.parquet"
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"user": ["a"], "items": ["i1"]}), other)
    with pytest.raises(DataError, match="no column 'history'"):
        batch.batch(tmp_path, other, out=out)
    pq.write_table(pa.table({"user": ["a"], "history": ["i1"]}), other)
    with pytest.raises(DataError, match="expected are lists"):
        batch.batch(tmp_path, other, out=out)
    other.write_text("user,history")
    with pytest.raises(DataError, match="no Parquet"):
        batch.batch(tmp_path, other, out=out)
    assert not out.exists()


def test_an_engine_and_lists_in_batches_keep_to_standing_rules(people, tmp_path, monkeypatch):
    monkeypatch.setattr(export_engine, "Exported", Towers)
    monkeypatch.setattr(batch, "CELLS", 2 * ITEMS)  # two people at a time
    rules = (
        "{in_stock: even=1, pins: [{item: i10, place: 2}], boosts: [{where: item=i4, times: 9}]}"
    )
    (tmp_path / "rules.yaml").write_text(rules)
    batch.batch(tmp_path, people, out=tmp_path / "lists.parquet", k=4)
    lists = pl.read_parquet(tmp_path / "lists.parquet")["items"].to_list()
    engine = ExportEngine(tmp_path)
    queries = [Query(user="ann", k=4), Query(user="bob", k=4), Query(k=4)]
    for query, row, had in zip(queries, lists, ([1, 2, 3], [4], []), strict=False):
        free = expected(had, ITEMS, {*had, 10}, lambda n: n % 2 == 0)
        assert row[1] == "i10"
        answer = engine.answer([query])[0]
        assert [f"i{n}" for n in items(answer)] == row
        assert answer.pinned == {10}
        assert {*items(answer)} - {4, 10} <= {*free[:4]}
    assert {number % 2 for number in engine.similar(2, Query(k=9))[0]} == {0}
    (tmp_path / "rules.yaml").write_text("pins: [{item: i10, place: 2, people: country=DE}]")
    with pytest.raises(RecipeError, match="Nobody's attributes are known here"):
        ExportEngine(tmp_path)
