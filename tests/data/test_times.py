"""A moment is the same however it is written, and a column is written in one way."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrec.api import DataError, InteractionLog, Place, Problems
from lightrec.data.times import parse_times

MOMENT = datetime(2024, 5, 1, 10, 30, 0, 250_000, tzinfo=UTC)
WHOLE = MOMENT.replace(microsecond=0)


def parse(values, times="auto"):
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
        ("1714559400.25", MOMENT),
        (1714559400250, MOMENT),
        (1714559400250000000, MOMENT),
        ("2024-05-01T10:30:00.250Z", MOMENT),
        ("2024-05-01 10:30:00.250000", MOMENT),
        (" 2024-05-01T12:30:00+02:00 ", WHOLE),
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        (20240501, datetime(2024, 5, 1, tzinfo=UTC)),
        (date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)),
        (MOMENT, MOMENT),
        ("01.05.2024 10:30", WHOLE),
        ("1/27/2015 13:05", datetime(2015, 1, 27, 13, 5, tzinfo=UTC)),
        ("27/01/2015 1:05 PM", datetime(2015, 1, 27, 13, 5, tzinfo=UTC)),
        ("2015/1/27, 13:05", datetime(2015, 1, 27, 13, 5, tzinfo=UTC)),
        ("2015年1月27日", datetime(2015, 1, 27, tzinfo=UTC)),
        ("27-JAN-15", datetime(2015, 1, 27, tzinfo=UTC)),
        ("January 27, 2015", datetime(2015, 1, 27, tzinfo=UTC)),
        ("Wed, 01 May 2024 10:30:00 GMT", WHOLE),
        ("Wed May 01 03:30:00 -0700 2024", WHOLE),
        ("01/May/2024:10:30:00 +0000", WHOLE),
        (202405011030, WHOLE),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_forms(value, expected):
    assert parse([value, None]) == ([expected, None], [])


def test_the_unit_can_be_named():
    early = datetime(1970, 1, 12, 13, 46, 40, tzinfo=UTC)
    assert parse([10**9], "milliseconds") == ([early], [])
    assert parse(["1714559400250"], "milliseconds") == ([MOMENT], [])
    assert parse(["20240501"], "seconds")[0][0] == datetime(1970, 8, 23, 6, 21, 41, tzinfo=UTC)
    assert parse(["2024"], "iso")[1] == [
        "Line 2, column 'time': '2024' is not a point in time in ISO 8601, such as "
        "2024-05-01T10:30:00Z."
    ]


@pytest.mark.parametrize("bad", ["soon", "2024-13-01", "", "inf", "nan"])
def test_what_cannot_be_read_is_named(bad):
    parsed, problems = parse(["1714559400", "1714559401", bad])
    assert parsed[2] is None
    assert problems == [
        f"Line 4, column 'time': {bad!r} is not a number of seconds since 1970; correct it, or "
        "leave such rows out with --skip-broken broken.csv."
    ]


@pytest.mark.parametrize(
    "beyond",
    [
        pl.Series("time", [300_000_000_000_000], pl.Datetime("ms")),
        pl.Series("time", [3_000_000], pl.Int32).cast(pl.Date),
        pl.Series("time", [float("nan")]),
    ],
)
def test_what_no_calendar_has_is_named(beyond):
    parsed, problems = parse(beyond)
    assert parsed == [None]
    assert len(problems) == 1
    assert problems[0].startswith("Line 2, column 'time': ")


def test_no_times_at_all():
    assert parse(pl.Series("time", [None, None])) == ([None, None], [])
    assert parse(pl.Series("time", [None, None], pl.String)) == ([None, None], [])
    assert parse(pl.Series("time", [True]))[1] == [
        "Column 'time' has type Boolean, which is no time."
    ]


def test_the_order_of_day_and_month_is_one_for_the_column():
    months = ["1/2/2015", "1/27/2015", "12/3/2015 10:00"]
    assert [time.month for time in parse(months)[0] if time] == [1, 1, 12]
    assert [time.day for time in parse(["1/2/15", "27/2/15"])[0] if time] == [1, 27]
    assert parse(["5/5/2015"]) == ([datetime(2015, 5, 5, tzinfo=UTC)], [])
    assert parse(["1/2/2015", "3/3/2015"])[1] == [
        "Column 'time' can be read in two ways: '1/2/2015' is 1 February 2015 day-first and "
        "2 January 2015 month-first. Say which: --times day-first or --times month-first."
    ]
    assert "'24/05/13' is 24 May 2013 day-first and 13 May 2024 year-first" in str(
        parse(["24/05/13"])[1]
    )
    assert parse(["1/2/2015"], "month-first") == ([datetime(2015, 1, 2, tzinfo=UTC)], [])
    assert parse(["1/2/2015"], "%d/%m/%Y") == ([datetime(2015, 2, 1, tzinfo=UTC)], [])
    assert (
        "has times written month-first, such as '1/27/2015', among others written day-first"
        in (parse(["27/1/2015", "1/27/2015", "28/1/2015"])[1][0])
    )


def test_slips_of_the_pen_can_be_left_out():
    written = ["2021-06-22", "0021-06-22", "20222-08-09", "2021-02-30", "2021-06-23"] * 2
    expected = ["2021-06-22", None, None, None, "2021-06-23"] * 2
    parsed, problems = parse(written)
    assert [time and str(time.date()) for time in parsed] == expected
    assert problems == [
        "Lines 3, 4, 5 and 3 others, column 'time': for example, '0021-06-22' is not a time "
        "written as %Y-%m-%d."
    ]
    # Where most cannot be read, they have been misunderstood, and none is left out.
    assert "--skip-broken" in parse([*written, *["2021-06-24"] * 9])[1][0]


def of_a_log(values, times="auto", skip=False):
    rows = pl.DataFrame({"item": "a", "time": values}, strict=False)
    parsed = InteractionLog(rows, times=times, skip=skip).events["time"]
    return parsed.dt.strftime("%Y-%m-%d %H:%M").to_list()


DAYS = ["2024-01-01 00:00", "2024-01-02 00:00", None]
STAMP = 1_704_067_200


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        ([20240101.0, 20240102.0, None], None),
        ([20240101, 20240102, 0], "0"),
        (["2024-01-01", "2024-01-02", "9999-12-31"], "'9999-12-31'"),
        ([STAMP, STAMP + 86_400, 0], "0"),
        ([STAMP, STAMP + 86_400, 253402300799], "253402300799"),
        ([date(2024, 1, 1), date(2024, 1, 2), date(9999, 12, 31)], "'9999-12-31 "),
    ],
)
def test_one_value_does_not_turn_a_column(values, odd):
    assert of_a_log(values, skip=True) == (DAYS[:2] if odd else DAYS)
    if odd:
        with pytest.raises(DataError, match="leave such rows out with --skip-b") as raised:
            of_a_log(values)
        assert raised.value.problems[0].startswith(f"Row 3, column 'time': {odd}")


@pytest.mark.parametrize(
    ("values", "form", "what", "first"),
    [
        ([2015, 2016, 0], "%Y", "a year", "2015-01-01 00:00"),
        (["201512", "201601"], "%Y%m", "a month", "2015-12-01 00:00"),
        ([45292.0, 45293.5], "excel", "a day of a spreadsheet", "2024-01-01 00:00"),
    ],
)
def test_what_may_be_order_numbers_is_to_be_named(values, form, what, first):
    with pytest.raises(DataError, match=f"may be {what}, or .*: --times {form} or --t") as raised:
        of_a_log(values)
    assert len(raised.value.problems) == 1
    assert of_a_log(values, form, skip=True)[0] == first
    assert of_a_log(values, "seconds")[0] == str(of_a_log([values[0]], "seconds")[0])
    assert of_a_log(values, "seconds")[0][:10] in ("1970-01-01", "1970-01-03")
    # Whoever says that an attribute is a date has said which.
    assert str(parse(values)[0][0])[:16] == first


def test_order_numbers_stay_order_numbers():
    for values in ([0, 1, 2], list(range(60_000)), [5.0, 7.0], [100, 250, 40_000]):
        assert parse(values) == (parse(values, "seconds")[0], [])
        assert of_a_log(values) == of_a_log(values, "seconds")


@given(st.lists(st.integers(10**12, 253402300799999), min_size=1))
def test_milliseconds_and_iso_agree(values):
    moments = pl.Series("time", values).cast(pl.Datetime("ms", "UTC"))
    text = moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
    assert parse(text) == (moments.to_list(), [])
    assert parse(pl.Series("time", values), "milliseconds") == (moments.to_list(), [])
