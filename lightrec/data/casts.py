"""Conversion of columns of any type to the types of the canonical schema.

Nothing is rounded, cut or guessed: a value that cannot be converted exactly becomes a problem that
names its row and column.

Times are read by one of these rules, chosen once for a whole column and never value by value:

- Dates and datetimes (Parquet) are taken as they are; those without a zone are UTC.
- Whole numbers that are all dates written as ``YYYYMMDD`` (1900 to 2099) are ISO 8601 dates.
- Other numbers count from 1970 UTC; the largest magnitude gives the unit: below 1e11 seconds
  (until the year 5138), below 1e14 milliseconds, below 1e17 microseconds, above that nanoseconds.
  Milliseconds before March 1973 would be read as seconds: then say ``milliseconds``.
- Everything else is ISO 8601: ``2024-05-01``, ``2024-05-01T10:30``, ``2024-05-01 10:30:00.250``,
  with or without ``Z`` or an offset; without one it is UTC.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np
import polars as pl

from lightrec.data.schema import LOG_SCHEMA, Place, Problems
from lightrec.keys import Column

_LARGEST_VALUE: Final = 1e30
"""Values are held as float32 later, with room for a weight."""

_WRITTEN: Final[tuple[tuple[str, Callable[[pl.Series], pl.Series]], ...]] = (
    (r"^-?(0|[1-9]\d{0,17})$", lambda text: text.cast(pl.Int64)),
    (r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,2})?$", lambda text: text.cast(pl.Float64)),
    (r"^(?i)(true|false)$", lambda text: text.str.to_lowercase() == "true"),
    (r"^\d{4}-\d\d-\d\d$", lambda text: text.str.to_date("%Y-%m-%d", strict=False)),
)
"""Patterns of the values of an attribute, and the conversion for each."""

LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    Column.VALUE: (-_LARGEST_VALUE, _LARGEST_VALUE, "a number between -1e30 and 1e30"),
    Column.COUNT: (0, 2**63 - 1, "a whole number of 0 or more"),
    Column.POSITION: (0, 2**15 - 1, "a whole number from 0 to 32767"),
    Column.PROPENSITY: (math.ulp(0), 1, "a probability above 0 and up to 1"),
}
"""Numbers of a log: smallest, largest, and how a message describes what was expected."""


def to_log_column(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert a column of a log, other than the time, to its type in the schema.

    :param column: named as the schema names it.
    :returns: the column, null where a value was refused.
    """
    if column.name in LIMITS:
        return to_numbers(column, LOG_SCHEMA[column.name], LIMITS[column.name], place, problems)
    if column.name == Column.CANDIDATES:
        return _id_lists(column, place, problems)
    return to_ids(column, place, problems)


def to_ids(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert ids to strings: text as it is, whole numbers in digits, empty text to null.

    Floats are accepted where they hold whole numbers exactly (12.0 becomes ``12``).
    """
    dtype = column.dtype
    if dtype == pl.String:
        empty = column.str.len_bytes() == 0
        return column.set(empty, None) if empty.any() else column
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return to_ids(column.cast(pl.String), place, problems)
    if dtype.is_integer() or dtype == pl.Null or _is_whole_decimal(dtype):
        return column.cast(pl.String)
    if dtype.is_float():
        # Beyond these, whole numbers are no longer exact.
        limit = 2**24 if dtype == pl.Float32 else 2**53
        good = (column == column.floor()) & (column.abs() <= limit)
        expected = f"an id; a float must hold a whole number up to {limit}"
        problems.add_rows(~good, lambda row: place.value(column, row, expected))
        whole = column.set((~good).fill_null(True), None).cast(pl.Int64)
        return whole.cast(pl.String)
    problems.add(_wrong_type(column, "text or whole numbers"))
    return _nulls(column, pl.String())


def written_type(column: pl.Series) -> pl.Series:
    """Convert a text column to the type in which all of its values are written.

    The types are whole numbers, other numbers, booleans (true, false) and dates (2024-05-01).
    Numbers with leading zeros stay text, because they may be codes.
    """
    values = column.drop_nulls()
    if column.dtype != pl.String or not len(values):
        return column
    for pattern, convert in _WRITTEN:
        if values.str.contains(pattern).all():
            typed = convert(column)
            return typed if typed.null_count() == column.null_count() else column
    return column


def to_required_ids(column: pl.Series, name: str, place: Place, problems: Problems) -> pl.Series:
    """Convert ids as :func:`to_ids` does, and report missing ones.

    :param name: of the column, for messages.
    """
    ids = to_ids(column, place, problems)
    problems.add_rows(
        ids.is_null() & (column.is_null() | (column.dtype == pl.String)),
        lambda row: f"{place.row(row)} has no {name}.",
    )
    return ids


def to_words(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert text for people to read; every type that can be written out is accepted."""
    dtype = column.dtype
    if dtype == pl.String:
        return column
    nothing = _nulls(column, pl.String())
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        problems.add(_wrong_type(column, "text"))
        return nothing
    return column.cast(pl.String) if _is_in_calendar(column, place, problems) else nothing


def check_attribute(column: pl.Series, place: Place, problems: Problems) -> None:
    """Check that a column can be an attribute of items or users."""
    dtype = column.dtype
    listed = isinstance(dtype, pl.List | pl.Array)
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    if inner is not None and (inner.is_nested() or inner in (pl.Binary, pl.Object)):
        problems.add(_wrong_type(column, "text, numbers, times, or lists of these"))
    elif inner is not None and listed and inner.is_temporal():
        problems.add(_wrong_type(column, "lists of text or numbers"))
    else:
        _is_in_calendar(column, place, problems)


def _nulls(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(column.name, [None], dtype).new_from_index(0, len(column))


def _is_in_calendar(column: pl.Series, place: Place, problems: Problems) -> bool:
    outside = outside_calendar(column)
    problems.add_rows(
        outside, lambda row: place.value(column, row, "a date of the years 1 to 9999")
    )
    return not outside.any()


def _wrong_type(column: pl.Series, expected: str) -> str:
    return (
        f"Column '{column.name}' has type {column.dtype}; expected {expected}. Convert the column "
        "or leave it out."
    )


def _is_whole_decimal(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Decimal) and dtype.scale == 0


def to_numbers(
    column: pl.Series,
    dtype: pl.DataType,
    limits: tuple[float, float, str],
    place: Place,
    problems: Problems,
    *,
    required: bool = False,
) -> pl.Series:
    """Convert numbers and check that they are within limits.

    :param limits: the smallest and the largest, and how a message describes what was expected.
    :param required: whether a null is a problem.
    :returns: the numbers, null where a value was refused.
    """
    low, high, expected = limits
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean, pl.Null)):
        problems.add(_wrong_type(column, "numbers"))
        return _nulls(column, dtype)
    text = _stripped(column)
    cast = _whole(text, dtype) if dtype.is_integer() else text.cast(dtype, strict=False)
    # NaN is above every number, and so outside.
    bad = ~cast.is_between(low, high).fill_null(False)
    bad = bad if required else bad & column.is_not_null()
    if bad.any():
        problems.add_rows(bad, lambda row: place.value(column, row, expected))
        cast = cast.set(bad, None)
    return cast


def _stripped(column: pl.Series) -> pl.Series:
    return column.str.strip_chars() if column.dtype == pl.String else column


def _whole(source: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Convert to whole numbers, including those written as 3.0; null if a number is not whole."""
    if not (source.dtype.is_float() or isinstance(source.dtype, pl.Decimal)):
        cast = source.cast(dtype, strict=False)
        if source.dtype != pl.String or cast.null_count() == source.null_count():
            return cast
        return cast.fill_null(_whole(source.cast(pl.Float64, strict=False), dtype))
    numbers = source.cast(pl.Float64)
    whole = (numbers == numbers.floor()) & (numbers.abs() < 2.0**63)
    return numbers.set(~whole.fill_null(False), None).cast(dtype, strict=False)


def _id_lists(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert lists of ids and check that no list has an id twice."""
    dtype = LOG_SCHEMA[Column.CANDIDATES]
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    nothing = _nulls(column, dtype)
    if column.dtype == pl.Null:
        return nothing
    if not isinstance(column.dtype, pl.List):
        problems.add(_wrong_type(column, "lists of ids"))
        return nothing
    if column.dtype != dtype:
        column = _inner_ids(column, place, problems)
    if column.dtype != dtype:
        return nothing
    inner = pl.element()
    empty = column.list.eval(inner.is_null() | (inner == "")).list.any()
    problems.add_rows(
        empty, lambda row: f"{place.row(row)}, column '{place.name(column)}': an id is empty."
    )
    repeated = column.list.n_unique() != column.list.len()
    problems.add_rows(
        repeated & ~empty.fill_null(False),
        lambda row: (
            f"{place.row(row)}, column '{place.name(column)}': an item is among the candidates "
            "twice."
        ),
    )
    return column


def _inner_ids(lists: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert the ids in lists; return the lists unchanged if their type cannot be converted."""
    sizes = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = lists.filter(sizes > 0).explode()
    # The caller reports nulls and empty texts with their list.
    owners = np.repeat(np.arange(len(sizes)), sizes).tolist()
    ids = to_ids(flat, place.within(owners), problems)
    if ids.null_count() > flat.null_count() and ids.null_count() == len(ids):
        return lists
    if flat.dtype.is_float():
        lists = lists.cast(pl.List(pl.Int64), strict=False)
    return lists.cast(LOG_SCHEMA[Column.CANDIDATES])


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
    :param times: how the values are written.
    :param problems: receives a sentence for each value that cannot be read.
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
        return _nulls(column, _MILLISECONDS)
    outside = outside_calendar(parsed)
    if outside.any():
        parsed = parsed.set(outside, None)
    if parsed.null_count() > column.null_count():
        bad = parsed.is_null() & column.is_not_null()
        problems.add_rows(bad, lambda row: place.value(column, row, _EXPECTED[times]))
    return parsed.alias(column.name)


def outside_calendar(column: pl.Series) -> pl.Series:
    """Find dates and datetimes outside the years 1 to 9999, and times of day outside the day.

    Polars cannot format them.

    :param column: of any type; values of other types count as inside.
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
    numbers = _stripped(sample).cast(pl.Float64, strict=False)
    return len(sample) - numbers.null_count() > len(sample) / 2


def _from_numbers(column: pl.Series, factor: float | None) -> pl.Series:
    # Float64 holds milliseconds exactly up to 2^53, which is far beyond the year 9999.
    numbers = _stripped(column).cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite().fill_null(False), None)
    if factor is None:
        largest = numbers.abs().max() or 0.0
        factor = next(f for limit, f in _MAGNITUDES if float(str(largest)) < limit)
    milliseconds = (numbers * factor).round()
    milliseconds = milliseconds.set((milliseconds.abs() > _LATEST).fill_null(False), None)
    return milliseconds.cast(pl.Int64).cast(_MILLISECONDS)


def _from_iso(column: pl.Series) -> pl.Series:
    text = column
    if text.str.contains(" ", literal=True).any():
        text = text.str.strip_chars().str.replace(r"^(\S+) +", "${1}T")
    if text.str.ends_with("Z").any() or text.str.ends_with("z").any():
        text = text.str.replace(r"[zZ]$", "+00:00")
    parsed = _nulls(column, _MILLISECONDS)
    for pattern in _likeliest_first(text):
        left = parsed.is_null() & text.is_not_null()
        if not left.any():
            break
        tried = _strptime(text, pattern)
        parsed = tried if parsed.null_count() == len(parsed) else parsed.fill_null(tried)
    return parsed


def _likeliest_first(text: pl.Series) -> list[str]:
    """Order the forms of ISO 8601. No text fits two of them, so the order only affects speed."""
    sample = text.drop_nulls().head(100)
    return sorted(_ISO_FORMATS, key=lambda pattern: _strptime(sample, pattern).null_count())


def _strptime(text: pl.Series, pattern: str) -> pl.Series:
    return text.str.to_datetime(pattern, strict=False, time_unit="ms", time_zone="UTC")
