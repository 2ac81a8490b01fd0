"""Seconds, milliseconds and ISO 8601 name the same moment."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.casts import TimeFormat, parse_times
from lightrec.data.schema import Place, Problems

MOMENT = datetime(2024, 5, 1, 10, 30, 0, 250_000, tzinfo=UTC)
WHOLE = MOMENT.replace(microsecond=0)


def parse(
    values: list[object] | pl.Series, times: TimeFormat = "auto"
) -> tuple[list[datetime | None], list[str]]:
    problems = Problems()
    column = pl.Series("time", values) if isinstance(values, list) else values
    parsed = parse_times(column, times, Place(None, "Line", (2).__add__), problems)
    assert parsed.dtype == pl.Datetime("ms", "UTC")
    assert parsed.name == column.name
    return parsed.to_list(), problems.sentences


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1714559400, WHOLE),
        ("1714559400", WHOLE),
        ("1714559400.25", MOMENT),
        ("1.7145594e9", WHOLE),
        (1714559400.25, MOMENT),
        (1714559400250, MOMENT),
        ("1714559400250", MOMENT),
        (1714559400250000, MOMENT),
        (1714559400250000000, MOMENT),
        ("2024-05-01T10:30:00.250Z", MOMENT),
        ("2024-05-01T10:30:00.25", MOMENT),
        ("2024-05-01 10:30:00.250000", MOMENT),
        (" 2024-05-01T12:30:00+02:00 ", WHOLE),
        ("2024-05-01 12:30+0200", WHOLE),
        ("2024-05-01 10:30", WHOLE),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        ("20240501", datetime(2024, 5, 1, tzinfo=UTC)),
        (20240501, datetime(2024, 5, 1, tzinfo=UTC)),
        (date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)),
        (MOMENT, MOMENT),
        (MOMENT.replace(tzinfo=None), MOMENT),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_forms(value: object, expected: datetime) -> None:
    assert parse([value, None]) == ([expected, None], [])


def test_forms_of_iso_may_be_mixed() -> None:
    parsed, problems = parse(["2024-05-01", "2024-05-01T10:30:00Z", "2024-05-01 10:30"])
    assert problems == []
    assert parsed == [datetime(2024, 5, 1, tzinfo=UTC), WHOLE, WHOLE]


def test_the_unit_can_be_named() -> None:
    early = datetime(1970, 1, 12, 13, 46, 40, tzinfo=UTC)
    assert parse([10**9], "milliseconds") == ([early], [])
    assert parse(["1714559400250"], "milliseconds") == ([MOMENT], [])
    assert parse(["20240501"], "seconds")[0][0] == datetime(1970, 8, 23, 6, 21, 41, tzinfo=UTC)
    assert parse(["2024"], "iso")[1] == [
        "Line 2, column 'time': '2024' is not a point in time in ISO 8601, such as "
        "2024-05-01T10:30:00Z."
    ]


def test_the_unit_is_one_for_the_column() -> None:
    parsed, _ = parse([1, 1714559400250])
    assert parsed == [datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC), MOMENT]


@pytest.mark.parametrize("bad", ["soon", "2024-13-01", "", "inf", "nan"])
def test_what_cannot_be_read_is_named(bad: str) -> None:
    parsed, problems = parse(["1714559400", "1714559401", bad])
    assert parsed[2] is None
    assert problems == [
        f"Line 4, column 'time': {bad!r} is not a point in time in seconds or milliseconds since "
        "1970 or in ISO 8601."
    ]


@pytest.mark.parametrize(
    "beyond",
    [
        pl.Series("time", [300_000_000_000_000], pl.Datetime("ms")),
        pl.Series("time", [-70_000_000_000_000], pl.Datetime("ms")),
        pl.Series("time", [3_000_000], pl.Int32).cast(pl.Date),
        pl.Series("time", [float("nan")]),
        pl.Series("time", [float("-inf")]),
        pl.Series("time", [1e300]),
    ],
)
def test_what_no_calendar_has_is_named(beyond: pl.Series) -> None:
    parsed, problems = parse(beyond)
    assert parsed == [None]
    assert len(problems) == 1
    assert problems[0].startswith("Line 2, column 'time': ")


def test_no_times_at_all() -> None:
    assert parse(pl.Series("time", [None, None])) == ([None, None], [])
    assert parse(pl.Series("time", [None, None], pl.String)) == ([None, None], [])
    assert parse(pl.Series("time", [True]))[1] == [
        "Column 'time' has type Boolean, which is no time."
    ]


@given(st.lists(st.integers(10**12, 253402300799999), min_size=1))
def test_milliseconds_and_iso_agree(values: list[int]) -> None:
    moments = pl.Series("time", values).cast(pl.Datetime("ms", "UTC"))
    text = moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
    assert parse(text) == (moments.to_list(), [])
    assert parse(pl.Series("time", values), "milliseconds") == (moments.to_list(), [])
