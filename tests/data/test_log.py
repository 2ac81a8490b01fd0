"""One log class holds every kind of log; what it cannot hold is refused with whole sentences."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lightrec.api import DataError, InteractionLog
from lightrec.data.parquet import VERSION_KEY
from lightrec.data.schema import LOG_SCHEMA

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
def test_refusals(columns, message):
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
