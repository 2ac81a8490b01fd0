"""Points in time, from the forms in which logs give them, to milliseconds UTC.

``auto`` decides once for a whole column, never value by value:

- Dates and datetimes (Parquet) are taken as they are; those without a zone are UTC.
- Whole numbers that are all dates written as ``YYYYMMDD`` (1900 to 2099) are ISO 8601 dates.
- Other numbers count from 1970 UTC; the largest magnitude tells the unit: below 1e11 seconds
  (until the year 5138), below 1e14 milliseconds, below 1e17 microseconds, above that nanoseconds.
  Milliseconds before March 1973 would be read as seconds: then say ``milliseconds``.
- Everything else is ISO 8601: ``2024-05-01``, ``2024-05-01T10:30``, ``2024-05-01 10:30:00.250``,
  with or without ``Z`` or an offset; without one it is UTC.
"""

from typing import Final, Literal, TypeAlias

import polars as pl

from lightrec.data.problems import Problems
from lightrec.data.schema import LOG_SCHEMA, Place
from lightrec.keys import Column

TimeFormat: TypeAlias = Literal["auto", "seconds", "milliseconds", "iso"]

_MILLISECONDS: Final = LOG_SCHEMA[Column.TIME]
_FACTORS: Final = {"seconds": 1000.0, "milliseconds": 1.0}
_MAGNITUDES: Final = ((1e11, 1000.0), (1e14, 1.0), (1e17, 1e-3), (float("inf"), 1e-6))
_EARLIEST: Final = -62_135_596_800_000  # the first millisecond of the year 1
_LATEST: Final = 253_402_300_799_999  # the last millisecond of the year 9999

_DAY: Final = 86_400_000_000_000  # nanoseconds

_ISO_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y%m%d",
)
_EXPECTED: Final = {
    "auto": "a point in time in seconds or milliseconds since 1970 or in ISO 8601",
    "seconds": "a number of seconds since 1970",
    "milliseconds": "a number of milliseconds since 1970",
    "iso": "a point in time in ISO 8601, such as 2024-05-01T10:30:00Z",
}


def parse_times(
    column: pl.Series, times: TimeFormat, place: Place, problems: Problems
) -> pl.Series:
    """Read a column of times.

    :param column: of dates, datetimes, numbers or strings.
    :param times: ``auto`` as this module's docstring tells, or what the values are.
    :param problems: gets a sentence for each value that cannot be read.
    :returns: datetimes in milliseconds UTC, null where the column is null or was not readable.
    """
    dtype = column.dtype
    if dtype in (pl.Date, pl.Datetime):
        moments = column.cast(pl.Datetime("ms")) if dtype == pl.Date else column
        if getattr(moments.dtype, "time_zone", None) is None:
            moments = moments.dt.replace_time_zone("UTC")
        parsed = moments.cast(_MILLISECONDS)
    elif dtype == pl.String or dtype.is_numeric() or dtype == pl.Null:
        parsed = _parse(column, times)
    else:
        problems.add(f"Column '{place.name(column)}' has type {dtype}, which is no time.")
        return pl.Series(column.name, [None], _MILLISECONDS).new_from_index(0, len(column))
    outside = outside_calendar(parsed)
    if outside.any():
        parsed = parsed.set(outside, None)
    if parsed.null_count() > column.null_count():
        bad = parsed.is_null() & column.is_not_null()
        problems.add_rows(bad, lambda row: place.value(column, row, _EXPECTED[times]))
    return parsed.alias(column.name)


def outside_calendar(column: pl.Series) -> pl.Series:
    """Which dates and moments lie outside the years 1 to 9999, and which times outside the day.

    No log means them, and polars cannot write them out.

    :param column: of any type; of types other than these no value does.
    :returns: (rows,) bool; null counts as inside.
    """
    if column.dtype == pl.Time:
        low, high, physical = 0, _DAY - 1, column.to_physical()
    elif column.dtype in (pl.Date, pl.Datetime):
        low, high = _EARLIEST, _LATEST
        zone = getattr(column.dtype, "time_zone", None)
        physical = column.cast(pl.Datetime("ms", zone)).to_physical()
    else:
        return pl.Series([False]).new_from_index(0, len(column))
    return ~physical.is_between(low, high).fill_null(True)


def _parse(column: pl.Series, times: TimeFormat) -> pl.Series:
    text = column.dtype == pl.String
    if times in _FACTORS:
        return _from_numbers(column, _FACTORS[times])
    if times == "iso" or _are_dates(column):
        return _from_iso(column if text else column.cast(pl.Int64, strict=False).cast(pl.String))
    if not text or _mostly_numbers(column):
        return _from_numbers(column, None)
    return _from_iso(column)


def _are_dates(column: pl.Series) -> bool:
    sample = column.drop_nulls().head(1000).cast(pl.String)
    if not len(sample) or not sample.str.contains(r"^(19|20)\d{6}$").all():
        return False
    return _from_iso(sample).null_count() == 0


def _mostly_numbers(column: pl.Series) -> bool:
    sample = column.drop_nulls().head(1000)
    numbers = sample.str.strip_chars().cast(pl.Float64, strict=False)
    return len(sample) - numbers.null_count() > len(sample) / 2


def _from_numbers(column: pl.Series, factor: float | None) -> pl.Series:
    whole = column.cast(pl.Int64, strict=False)
    if column.dtype == pl.String and whole.null_count() > column.null_count():
        column = column.str.strip_chars()
        whole = column.cast(pl.Int64, strict=False)
    # Float64 holds milliseconds exactly up to 2^53, which is far beyond the year 9999.
    numbers = column.cast(pl.Float64, strict=False) if _differs(whole, column) else whole
    numbers = numbers.cast(pl.Float64)
    numbers = numbers.set(~numbers.is_finite().fill_null(False), None)
    if factor is None:
        largest = numbers.abs().max() or 0.0
        factor = next(f for limit, f in _MAGNITUDES if float(str(largest)) < limit)
    milliseconds = (numbers * factor).round()
    milliseconds = milliseconds.set((milliseconds.abs() > _LATEST).fill_null(False), None)
    return milliseconds.cast(pl.Int64).cast(_MILLISECONDS)


def _differs(whole: pl.Series, column: pl.Series) -> bool:
    return column.dtype.is_float() or whole.null_count() > column.null_count()


def _from_iso(column: pl.Series) -> pl.Series:
    text = column
    if text.str.contains(" ", literal=True).any():
        text = text.str.strip_chars().str.replace(r"^(\S+) +", "${1}T")
    if text.str.ends_with("Z").any() or text.str.ends_with("z").any():
        text = text.str.replace(r"[zZ]$", "+00:00")
    parsed = pl.Series(column.name, [None], _MILLISECONDS).new_from_index(0, len(column))
    for pattern in _likeliest_first(text):
        left = parsed.is_null() & text.is_not_null()
        if not left.any():
            break
        tried = _strptime(text, pattern)
        parsed = tried if parsed.null_count() == len(parsed) else parsed.fill_null(tried)
    return parsed


def _likeliest_first(text: pl.Series) -> list[str]:
    """The forms of ISO 8601; no text is in two of them, so their order costs time only."""
    sample = text.drop_nulls().head(100)
    return sorted(_ISO_FORMATS, key=lambda pattern: _strptime(sample, pattern).null_count())


def _strptime(text: pl.Series, pattern: str) -> pl.Series:
    return text.str.to_datetime(pattern, strict=False, time_unit="ms", time_zone="UTC")
