"""Tables of events, items and users: what they refuse, round trips, kinds of columns, features."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lightrec.api import Catalog, DataError, InteractionLog, Users
from lightrec.data.attributes import FARTHEST, FEW, Features
from lightrec.data.parquet import VERSION_KEY
from lightrec.data.readers.base import Tables, retyped
from lightrec.data.schema import LOG_SCHEMA
from lightrec.data.types import Attribute, recognised

ids = st.text(min_size=1, max_size=8)
rows = st.fixed_dictionaries(
    {
        "user": st.none() | ids,
        "item": ids,
        "time": st.none() | st.integers(-(10**12), 10**13),
        "feedback": ids,
        "value": st.none() | st.floats(-1e30, 1e30),
        "count": st.none() | st.integers(0, 2**63 - 1),
        "position": st.none() | st.integers(0, 2**15 - 1),
        "propensity": st.none() | st.floats(0, 1, exclude_min=True),
        "candidates": st.none() | st.lists(ids, max_size=3, unique=True),
    }
)


@settings(max_examples=25)
@given(events=st.lists(rows, min_size=1, max_size=10))
def test_round_trip_of_any_events(events, tmp_path):
    schema = {name: LOG_SCHEMA[name] for name in events[0]}
    frame = pl.DataFrame(events, schema={**schema, "time": pl.Int64}, orient="row")
    log = InteractionLog(frame.cast({"time": pl.Datetime("ms", "UTC")}))
    log.write_parquet(tmp_path / "any.parquet")
    assert_frame_equal(InteractionLog.read_parquet(tmp_path / "any.parquet").events, log.events)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item": ["x"], "price": [1]}, "Column 'price' is not part of a log"),
        ({"item": []}, "There are no events."),
        ({"item": ["x"], "value": ["good"]}, "Row 1, column 'value': 'good' is not a number betw"),
        ({"item": ["x"] * 50, "value": [None, *["bad"] * 49]}, "Rows 2, 3, 4 and 46 others, "),
        ({"item": ["x"], "count": ["2.5"]}, "'2.5' is not a whole number of 0 or more."),
        ({"item": ["x"], "propensity": [0.0]}, "0.0 is not a probability above 0"),
        ({"item": ["x"], "position": [40000]}, "40000 is not a whole number from 0"),
        ({"item": [1.5]}, "Row 1, column 'item': 1.5 is not an id; a float must hold a whole"),
        ({"item": [""]}, "Row 1 has no item and no candidates"),
        ({"item": ["x"], "user": [b"a"]}, "Column 'user' has type Binary"),
        ({"item": ["x"], "candidates": [["x", None]]}, "column 'candidates': an id is empty."),
        ({"item": ["x"], "candidates": [["x", "x"]]}, "an item is among the candidates twice"),
        ({"item": [1], "candidates": [[0.5, 1.0]]}, "Row 1, column 'candidates': 0.5 is not"),
        ({"item": ["x"], "time": ["soon"]}, "Row 1, column 'time': 'soon' is not a point in time"),
    ],
)
def test_a_log_refuses_what_it_cannot_hold(columns, message):
    with pytest.raises(DataError, match=None) as raised:
        InteractionLog(pl.DataFrame(columns))
    assert message in str(raised.value)


IDS = {
    "int64": (pl.Series([2**63 - 1, -(2**63), 2**53 + 1]), None),
    "uint64": (pl.Series([2**64 - 1, 2**63], dtype=pl.UInt64), None),
    "float": (pl.Series([12.0, -3.0, 2.0**53 - 1]), ["12", "-3", "9007199254740991"]),
    "float32": (pl.Series([16777215.0], dtype=pl.Float32), ["16777215"]),
    "categorical": (pl.Series(["b", "a"], dtype=pl.Categorical), ["b", "a"]),
    "str": (pl.Series([" a", "a ", "a", "007", "a,b", 'a"b', "a\nb", "é", "e\u0301", "1.0"]), None),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_exact(kind):
    ids, expected = IDS[kind]
    lists = pl.Series([[value] for value in ids], dtype=pl.List(ids.dtype))
    events = InteractionLog(pl.DataFrame({"user": ids, "item": ids, "candidates": lists})).events
    for column in ("user", "item", "candidates"):
        assert events[column].explode().to_list() == (expected or [str(value) for value in ids])


def test_twenty_problems_are_shown_and_the_rest_counted():
    with pytest.raises(DataError) as raised:
        InteractionLog(pl.DataFrame({"item": ["x"]} | {f"extra {n}": [1] for n in range(50)}))
    assert (len(raised.value.problems), raised.value.more) == (20, 30)
    assert "30 more" in str(raised.value)


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "log.parquet"
    metadata = {VERSION_KEY: "2", "lightrec.table": "log"}
    pl.DataFrame({"item": ["x"]}).write_parquet(path, metadata=metadata)
    with pytest.raises(DataError, match="schema version 2"):
        InteractionLog.read_parquet(path)
    pl.DataFrame({"item": ["x"]}).write_parquet(path)
    with pytest.raises(DataError, match="no log table written by lightrec"):
        InteractionLog.read_parquet(path)
    with pytest.raises(DataError, match="does not exist"):
        InteractionLog.read_parquet(tmp_path / "none.parquet")


GENRES = [["Adventure", "Animation"], ["Comedy"], ["Adventure", "Comedy"], ["Animation"]]


@pytest.mark.parametrize(
    ("written", "kind", "values"),
    [
        (["1", None, "-3"], "number", [1, None, -3]),
        (["1", "2.5", "N/A"], "number", [1.0, 2.5, None]),
        (["true", "False", None], "number", [True, False, None]),
        (["€ 12,50", "€ 1.299,00", "€ 3"], "number", [12.5, 1299.0, 3.0]),
        (["$1,299.00", "$5"], "number", [1299.0, 5.0]),
        (["1.299 €", "2.450 €"], "number", [1299, 2450]),
        (["1.299", "850", "12.450"], "code", None),
        (["1.299", "850", "0.5"], "number", [1.299, 850.0, 0.5]),
        (["01067", "80331", "01067"], "category", None),
        (["4006381333931", "123456789012345678901"], "code", None),
        (["2024-05-01", "2024-05-02"], "date", [date(2024, 5, 1), date(2024, 5, 2)]),
        (["|".join(row) for row in GENRES], "list", GENRES),
        (["a; b", "b; a", "a", "b", None], "list", [["a", "b"], ["b", "a"], ["a"], ["b"], None]),
        (["Paris, France", "Lyon, France", "Rome, Italy"], "words", None),
        ([f"{n} Band" for n in range(30)] + ["3 Band|4 Band"], "words", None),
        (["[not a list]", "[[1]]", "[1]"], "code", None),
        (["[" * 5000 + "]" * 5000, "['a']"], "code", None),
        (["a/1.jpg", "https://x.org/2.PNG?w=3", "a/1.jpg"], "image", None),
        (["A long red scarf", "A long red scarf", "Two socks of wool", "x y z"], "words", None),
        (["SKU-1", "SKU-2", "B17"], "code", None),
        ([["a"], None], "list", [["a"], None]),
    ],
)
def test_kinds_and_values(written, kind, values):
    kind_of_values, column = recognised(pl.Series("x", written))
    assert kind_of_values == kind
    assert column.to_list() == (written if values is None else values)


def test_the_few_values_that_are_no_numbers_or_dates_are_named():
    years = pl.Series("year", [str(1990 + n) for n in range(20)])
    for before, more, note in (
        ("", "V", "text because of 1 value: 'V'"),
        ("27.5.", "soon", "text because of 1 value: 'soon'"),
        ("27.5.", "31.2.2001", "text because of 1 value: '31.2.2001'"),
    ):
        column = pl.concat([before + years, pl.Series("year", [more, None])])
        attribute = Attribute.of(*reversed(recognised(column)))
        assert (attribute.values, attribute.missing, attribute.note) == (21, 1 / 22, note)


def test_prices_of_one_table_are_read_in_one_way():
    rows = pl.DataFrame({"item": ["a", "b"], "price": ["1.299 €", "12,50 €"], "plain": ["1", "2"]})
    catalog = Catalog(rows)
    assert catalog.kinds == {"price": "number:€,", "plain": "number"}
    assert [each.kind for each in catalog.attributes()] == ["number", "number"]
    again = Catalog(catalog.rows, types=catalog.kinds)
    assert (again.kinds, again.rows.equals(catalog.rows)) == (catalog.kinds, True)
    # More rows are read as the first were, and not in another currency.
    more = Catalog(rows.with_columns(price=pl.Series(["1.300", "2.400"])))
    assert more.rows["price"].to_list() == [1.3, 2.4]
    assert more.retyped(catalog.kinds).rows["price"].to_list() == [1300, 2400]
    with pytest.raises(DataError, match=r"values cannot be read as one: '\$5'"):
        Catalog(rows.with_columns(price=pl.Series(["$5", "$6"]))).retyped(catalog.kinds)


def test_named_types_are_read_from_what_was_given():
    rows = {"zip": ["10.0", "20"], "tags": ["x, y", "z"], "day": ["20240501", None]}
    catalog = Catalog(pl.DataFrame({"item": ["a", "b"], **rows}))
    assert catalog.kinds == {"zip": "number", "tags": "words", "day": "number"}
    again = catalog.retyped({"zip": "category", "tags": "list", "day": "date"})
    assert again.rows.row(0)[-3:] == ("10.0", ["x", "y"], date(2024, 5, 1))
    assert again.rows.row(1)[-3:] == ("20", ["z"], None)
    kinds = again.retyped({"tags": "words"}).kinds
    assert kinds == {"zip": "category", "tags": "words", "day": "date"}


def test_types_that_do_not_fit_are_refused():
    tables = Tables(None, Catalog(pl.DataFrame({"item": list("abcde"), "genre": list("xy1zx")})))
    with pytest.raises(DataError) as raised:
        retyped(tables, {"genres": "list", "genre": "numbr"})
    assert str(raised.value).splitlines() == [
        "'genres' is not an attribute of the items or users. Did you mean 'genre'?",
        "'numbr' is not a type that 'genre' can have. Did you mean 'number'?",
    ]
    with pytest.raises(DataError, match=r"4 of its 5 .* one: 'x' \(row 1\), 'y' \(row 2\), 'z'"):
        retyped(tables, {"genre": "number"})


def test_catalog_round_trip(tmp_path):
    catalog = Catalog(pl.DataFrame({"year": [1995, 1996], "item": [1, 2], "tags": [["a"], None]}))
    assert catalog.rows.columns == ["item", "title", "text", "year", "tags"]
    assert catalog.rows["item"].to_list() == ["1", "2"]
    catalog.write_parquet(tmp_path / "catalog.parquet")
    assert_frame_equal(Catalog.read_parquet(tmp_path / "catalog.parquet").rows, catalog.rows)


def test_all_problems_of_a_catalog_are_told_at_once():
    with pytest.raises(DataError) as raised:
        Catalog(pl.DataFrame({"item": ["x", "y", None, "x"]}))
    problems = ["Row 3 has no item.", "Row 4: item 'x' is in an earlier row too."]
    assert str(raised.value).splitlines() == problems
    with pytest.raises(DataError, match="The users table has no column 'user'; it has id, age"):
        Users(pl.DataFrame({"id": ["x"], "age": [1]}))


@pytest.mark.parametrize("kinds", ["{", "[]", "[" * 5000, '{"year": 5}', '{"year": "no kind"}'])
def test_damaged_metadata_of_a_table_is_told(kinds, tmp_path):
    rows = pl.DataFrame({"item": ["a"], "title": ["A"], "year": [1990]})
    facts = {"schema_version": "1", "table": "catalog", "kinds": kinds}
    metadata = {f"lightrec.{name}": fact for name, fact in facts.items()}
    rows.write_parquet(tmp_path / "catalog.parquet", metadata=metadata)
    with pytest.raises(DataError, match="are no kinds of attributes"):
        Catalog.read_parquet(tmp_path / "catalog.parquet")


def test_numbers_are_in_standard_deviations_and_skewed_ones_by_their_logarithms():
    days = [date(2024, 1, day) for day in (1, 1, 3, 3)]
    table = pl.DataFrame({"age": [10, 20, None, 30], "added": days, "same": [1, 1, 1, 1]})
    features = Features(table, dict.fromkeys(table.columns, "number") | {"added": "date"})
    assert features.names == ["age", "age: unknown", "added"]
    # The attribute's features together have a mean square of 1: (1.5 + 0 + 0 + 1.5 + 1) / 4.
    expected = torch.tensor([[-(1.5**0.5), 0], [0, 0], [0, 1], [1.5**0.5, 0]])
    torch.testing.assert_close(features(table)[:, :2], expected)
    assert features(table)[:, 2].tolist() == [-1, -1, 1, 1]
    prices = pl.DataFrame({"price": [1.0] * 30 + [10.0] * 30 + [1000.0, 0.5]})
    skewed = Features(prices, {"price": "number"})
    assert skewed.names == ["price (log)"]
    assert skewed(prices).square().mean() == pytest.approx(1)
    low, middle, high = skewed(pl.DataFrame({"price": [1.0, 10.0, 100.0]}))[:, 0].tolist()
    assert high - middle == pytest.approx(middle - low)
    free, unknown, farthest = skewed(pl.DataFrame({"price": [0.0, None, 1e9]}))[:, 0].tolist()
    assert (-free, unknown) == (farthest, 0)
    assert farthest == pytest.approx(FARTHEST, rel=0.2)  # the clamped one counts less


def test_categories_and_lists_have_a_feature_for_each_member_and_one_for_the_rare_ones():
    colours = ["red"] * FEW + ["blue"] * FEW + ["green", "pink"]
    tags = [["a", "b"]] * FEW + [["b"]] * FEW + [[], None]
    table = pl.DataFrame({"colour": colours, "tags": tags, "sku": map(str, range(12))})
    kinds = {"colour": "category", "tags": "list", "sku": "code"}
    features = Features(table, kinds)
    assert features.names == [
        *("colour: blue", "colour: red", "colour: another", "tags: a", "tags: b", "tags: unknown")
    ]
    values = features(table)
    assert values[[0, 5, 10], :3].tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert (values[[0, 5, 11], 3:] > 0).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    for part in features.blocks.values():
        assert values[:, part].square().sum(1).mean() == pytest.approx(1)
    stranger = features(pl.DataFrame({"colour": ["mauve"], "tags": [["b", "z"]]}))
    assert (stranger > 0).tolist() == [[0, 0, 1, 0, 1, 0]]
    nobody = features(table.clear(1))
    assert (nobody > 0).tolist() == [[0, 0, 0, 0, 0, 1]]
    assert np.array_equal(Features(table, kinds)(table), values)
