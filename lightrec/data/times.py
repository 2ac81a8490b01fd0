"""How the times of a log are written, chosen once for a whole column and never value by value.

- Dates and datetimes (Parquet, SQL) are taken as they are; those without a zone are UTC.
- Numbers count from 1970 UTC, in the unit that puts most of them between 1990 and 2100. Where no
  unit does, as with plain order numbers, the largest magnitude gives it: below 1e11 seconds, below
  1e14 milliseconds, below 1e17 microseconds, above that nanoseconds. Where most are dates such as
  ``YYYYMMDD``, ``YYYYMMDDHHMM`` or ``YYYYMMDDHHMMSS`` (1900 to 2099), all are. Years, months
  (``YYYYMM``) and a spreadsheet's days may as well be order numbers: a log must say which.
- Text has its parts in one order in the whole column, and perhaps a time of day: ``2024-05-01``,
  ``2024-05-01T10:30:00.250+02:00``, ``1/27/2015 1:05 PM``, ``27 Jan 2015``. Whether day or month
  comes first is known where some number is above 12, or between dots, where the day does; all other
  columns are refused with both readings. Without a zone it is UTC.

In a log, a time that stands for none (the year 9999, or 1970-01-01 among times since 1990) is as
one that cannot be read.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

import polars as pl

from lightrec.data.schema import LOG_SCHEMA, Place, Problems
from lightrec.errors import RecipeError
from lightrec.keys import Column

PART: Final = 1 << 22
"""Values of a column that are converted at once."""
MILLISECONDS: Final = LOG_SCHEMA[Column.TIME]
_UNITS: Final = {
    "seconds": (1e11, 1000.0),
    "milliseconds": (1e14, 1.0),
    "microseconds": (1e17, 1e-3),
    "nanoseconds": (math.inf, 1e-6),
}
"""By unit: the magnitude below which a number is taken for it, and its milliseconds."""
_LIKELY: Final = (631_152_000_000, 4_102_444_800_000)
"""Milliseconds of the years 1990 to 2099, in which most events were."""
_YEAR_9999: Final = 253_370_764_800_000
_DAY: Final = 86_400_000
_DAYS: Final = {"%Y": "a year", "%Y%m": "a month", "excel": "a day of a spreadsheet"}
"""Forms of numbers that may as well be order numbers."""
WORDS: Final = ("auto", *_UNITS, "excel", "iso", "day-first", "month-first")

_DIGITS: Final = (
    r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])[0-5]\d([0-5]\d)?)?$"
)
_CLOCK: Final = re.compile(
    r"(?<!\d)\d{1,2}:\d\d(?P<s>:\d\d)?(?P<f>\.\d+)?(?P<p> ?[ap]m)?(?P<b> ?)"
    r"(?P<z>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?(?![\w:])",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"\d+|T(?=[\d\0])|[^\W\d_年月日]+|[{}%]")
_MONTHS: Final = dict.fromkeys(re.findall("...", "janfebmaraprmayjunjulaugsepoctnovdec"), "%B")
_NAMES: Final = _MONTHS | dict.fromkeys(re.findall("...", "montuewedthufrisatsun"), "%A")
_READINGS: Final[Mapping[tuple[bool, str], Mapping[str, Sequence[str]]]] = {
    (False, "8"): {"": ["%Y%m%d"]},
    (False, "12"): {"": ["%Y%m%d%H%M"]},
    (False, "14"): {"": ["%Y%m%d%H%M%S"]},
    (False, "8 6"): {"": ["%Y%m%d", "%H%M%S"]},
    (False, "4 2 2"): {"": ["%Y", "%m", "%d"]},
    (False, "2 2 4"): {"day-first": ["%d", "%m", "%Y"], "month-first": ["%m", "%d", "%Y"]},
    (False, "2 2 2"): {
        "day-first": ["%d", "%m", "%y"],
        "month-first": ["%m", "%d", "%y"],
        "year-first": ["%y", "%m", "%d"],
    },
    (True, "2 4"): {"": ["%d", "%Y"]},
    (True, "2 2"): {"": ["%d", "%y"]},
    (True, "4 2"): {"": ["%Y", "%d"]},
}
"""By whether a month is named and how many digits the numbers have: the readings of the numbers."""


def parse_times(
    column: pl.Series, form: str, place: Place, problems: Problems, *, events: bool = False
) -> pl.Series:
    """Read a column of dates, datetimes, numbers or strings.

    :param form: how the values are written: ``auto``, a unit of numbers such as ``seconds``,
        ``excel`` (days of a spreadsheet), ``iso``, ``day-first``, ``month-first``, or a pattern
        such as ``%d.%m.%Y %H:%M``.
    :param events: whether they are those of a log, whose numbers may be plain order numbers, and
        whose times are none in the year 9999.
    :returns: datetimes in milliseconds UTC, null where the column is null or was not readable.
    """
    dtype, name = column.dtype, place.name(column)
    if form not in WORDS and "%" not in form:
        problems.add(
            f"Times cannot be {form!r}: say {', '.join(WORDS)}, or a pattern such as "
            "'%d.%m.%Y %H:%M'."
        )
        return nulls(column)
    expected = "a point in time"
    if dtype in (pl.Date, pl.Datetime):
        parsed = column.cast(MILLISECONDS)
    elif dtype == pl.String or dtype.is_numeric() or dtype == pl.Null:
        parsed, expected = _parse(column, form, name, problems, events)
    else:
        problems.add(f"Column '{name}' has type {dtype}, which is no time.")
        return nulls(column)
    parsed = parsed.set(outside_calendar(parsed), None).alias(column.name)
    bad = parsed.is_null() & column.is_not_null()
    odd = _stand_for_none(parsed) if events else bad & ~bad
    # Where most cannot be read, they have been misunderstood.
    few = int((bad | odd).sum()) <= parsed.count() - int(odd.sum())
    more = "; correct it, or leave such rows out with --skip-broken broken.csv" if few else ""
    shown = parsed.cast(pl.String) if column.dtype.is_temporal() and odd.any() else column
    problems.add_rows(bad, lambda row: place.value(column, row, expected + more))
    problems.add_rows(odd, lambda row: place.value(shown, row, f"the time of an event{more}"))
    return parsed.set(odd, None)


def moment(given: datetime | str) -> datetime:
    """Read one moment: ``now``, or a date or datetime in ISO 8601, in UTC where it names no zone.

    :raises RecipeError: where it is none of the years 1970 to 9998.
    """
    if given == "now":
        return datetime.now(UTC)
    with suppress(ValueError):
        time = datetime.fromisoformat(given) if isinstance(given, str) else given
        if 1970 <= time.year < 9999:
            return time if time.tzinfo else time.replace(tzinfo=UTC)
    raise RecipeError(
        f"{str(given)!r} is no moment: give `now`, or a date or time of the years 1970 to 9998, "
        "such as 2026-11-30 or 2026-11-30T18:00."
    )


def looks_like_times(values: Sequence[str]) -> bool:
    """Whether values are written as times, or as numbers of an epoch of 1990 to 2100."""
    if all(_form_of(value.strip()) for value in values):
        return bool(values)
    numbers = pl.Series(values, dtype=pl.String).cast(pl.Float64, strict=False).abs()
    return any(share == 1 for share in _likely(numbers).values())


def _likely(numbers: pl.Series) -> dict[str, float]:
    """The share of numbers that are likely times, by unit."""
    first, last = _LIKELY
    counts = {u: numbers.is_between(first / ms, last / ms).sum() for u, (_, ms) in _UNITS.items()}
    return {unit: int(count) / max(1, len(numbers)) for unit, count in counts.items()}


def _stand_for_none(times: pl.Series) -> pl.Series:
    """Find the year 9999, and among likely times 1970-01-01 and what is before 1901 or after 2099.

    :returns: (rows,) bool, False for nulls.
    """
    stamps = times.to_physical()
    odd = stamps >= _YEAR_9999
    if stamps.is_between(*_LIKELY).sum() > times.count() / 2:
        odd |= stamps.is_between(-_DAY, _DAY - 1) | ~stamps.is_between(-25_202 * _DAY, _LIKELY[1])
    return odd.fill_null(False)


def outside_calendar(column: pl.Series) -> pl.Series:
    """Find dates outside the years 1 to 9999 and times outside the day: polars cannot format them.

    :returns: (rows,) bool, False for nulls and values of other types.
    """
    if column.dtype == pl.Time:
        inside = column.dt.hour().is_not_null()
    elif column.dtype in (pl.Date, pl.Datetime):
        inside = column.dt.year().is_between(1, 9999)
    else:
        return pl.repeat(False, len(column), dtype=pl.Boolean, eager=True)
    return column.is_not_null() & ~inside.fill_null(False)


def nulls(column: pl.Series, dtype: pl.DataType = MILLISECONDS) -> pl.Series:
    """As many nulls as a column has rows."""
    return pl.Series(column.name, [None], dtype).new_from_index(0, len(column))


def _parse(
    column: pl.Series, form: str, name: str, problems: Problems, events: bool
) -> tuple[pl.Series, str]:
    """Read numbers or text; gives the times, and the words for what was expected."""
    words = _words(column.drop_nulls().gather_every(max(1, len(column) // 1000)))
    numbers = words.cast(pl.Float64, strict=False)
    compact = words.str.contains(_DIGITS).sum() > (numbers != 0).sum() / 2
    mostly = column.dtype != pl.String or len(words) - numbers.null_count() > len(words) / 2
    if form == "auto" and mostly and not compact:
        form = _unit(stripped(column).cast(pl.Float64, strict=False))
        if form in _DAYS and events:
            problems.add(
                f"Column '{name}' can be read in two ways: {words.filter(numbers > 0)[0]} may be "
                f"{_DAYS[form]}, or an order number or seconds since 1970. Say which: --times "
                f"{form} or --times seconds."
            )
            form = "seconds"
    if form in _UNITS or form == "excel":

        def counted(part: pl.Series) -> pl.Series:
            # Float64 holds milliseconds exactly up to 2^53, which is far beyond the year 9999.
            count = stripped(part).cast(pl.Float64, strict=False)
            stamps = (count - 25_569) * _DAY if form == "excel" else count * _UNITS[form][1]
            return stamps.round().cast(pl.Int64, strict=False).cast(MILLISECONDS)

        return in_parts(column, counted), _DAYS.get(form, f"a number of {form} since 1970")
    text = _words(column)
    if "%" not in form:
        return _from_text(text, form, name, problems)
    try:
        return _tried(text, form), f"a time written as {form}"
    except pl.exceptions.PolarsError:
        problems.add(f"{form!r} is no pattern of times, such as '%d.%m.%Y %H:%M'.")
        return nulls(column), "a time"


def in_parts(column: pl.Series, convert: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Convert a column part by part, where what is between takes several times its memory."""
    starts = range(0, max(len(column), 1), PART)
    return pl.concat([convert(column.slice(start, PART)) for start in starts], rechunk=True)


def stripped(column: pl.Series) -> pl.Series:
    """Take the blanks around text."""
    return column.str.strip_chars() if column.dtype == pl.String else column


def _words(column: pl.Series) -> pl.Series:
    """Write values as text, and whole numbers without the fraction of 20240101.0."""
    return stripped(column.cast(pl.String)).str.replace(r"^(\d{4,14})\.0+$", "$1")


def _unit(numbers: pl.Series) -> str:
    """Say what numbers count, or the form of years, months or days in which they may be written."""
    numbers = numbers.filter(numbers.is_finite() & (numbers != 0))
    shares = _likely(numbers)
    if shares[best := max(shares, key=lambda unit: shares[unit])] > 0.5:
        return best
    is_whole, is_month = numbers == numbers.floor(), (numbers % 100).is_between(1, 12)
    fits = {
        "%Y": is_whole & numbers.is_between(1900, 2099),
        "%Y%m": is_whole & is_month & numbers.is_between(1900_01, 2099_12),
        "excel": numbers.is_between(32_874, 73_050),  # 1990 to 2099
    }
    forms = [form for form, fit in fits.items() if fit.sum() > 0.9 * len(fit)]
    size = numbers.abs()
    return forms[0] if forms else next(u for u, (most, _) in _UNITS.items() if (size < most).all())


def _tried(text: pl.Series, pattern: str) -> pl.Series:
    parsed = text.str.to_datetime(pattern, strict=False, time_unit="ms", time_zone="UTC")
    # A year such as 0021 is a slip of the pen.
    early = (parsed.dt.year() < 1000).fill_null(False)
    return parsed.set(early, None) if early.any() else parsed


class _Form(NamedTuple):
    """How a value is written, without saying which number is which."""

    date: str
    """The date with ``{}`` for each number, and ``\0`` for the time of day."""
    clock: str
    named: bool
    digits: str

    @property
    def kind(self) -> tuple[str, bool, str]:
        """The form of a whole column; the time of day may be there or not."""
        return re.sub(r"[T, ]*\0", "", self.date), self.named, self.digits


def _form_of(value: str) -> _Form | None:
    """Say how a value is written; None where it is no time."""
    match = _CLOCK.search(value)
    begin, end = match.span() if match else (len(value), len(value))
    clock = ""
    if match:
        half, zone = match["p"] or "", match["z"] or ""
        clock = f"%{'I' if half else 'H'}:%M" + ":%S" * bool(match["s"]) + "%.f" * bool(match["f"])
        clock += half[:-2] + "%p" * bool(half) + match["b"]
        clock += "%#z" if zone.startswith(("+", "-")) else zone
    digits: list[str] = []
    codes: list[str] = []

    def code(part: "re.Match[str]") -> str:
        word = part[0]
        if word.isdigit():
            digits.append({"1": "2"}.get(str(len(word)), str(len(word))))
            return "{}"
        codes.append("" if word in ("T", "Z") else _NAMES.get(word[:3].lower(), "?"))
        return codes[-1] or word

    date = _WORD.sub(code, f"{value[:begin]}\0{value[end:]}")
    form = _Form(date, clock, "%B" in codes, " ".join(digits))
    return form if "?" not in codes and (form.named, form.digits) in _READINGS else None


def _from_text(text: pl.Series, order: str, name: str, problems: Problems) -> tuple[pl.Series, str]:
    """Read times of words and digits.

    :param order: ``auto``, ``iso`` or the reading.
    """
    values = text.drop_nulls()
    forms = [form for form in _forms(values) if order != "iso" or form.digits in ("4 2 2", "8")]
    if not forms:
        others = "in days, months and years, or in seconds to nanoseconds since 1970"
        example = "such as 2024-05-01T10:30:00Z" if order == "iso" else others
        return nulls(text), f"a point in time in ISO 8601, {example}"
    kind = Counter(form.kind for form in forms).most_common(1)[0][0]
    readings = dict(_READINGS[kind[1:]])
    # Whoever writes 1/2/15 does not begin with the year.
    if "year-first" in readings and values.str.contains(r"\b\d\D+\d+\D+\d\d\b|\d\D+\d\D").any():
        del readings["year-first"]
    if order in readings:
        readings = {order: readings[order]}
    read = {word: _read(text, forms, kind, codes) for word, codes in readings.items()}
    counts = {word: times.count() for word, (times, _) in read.items()}
    best = max(counts, key=lambda word: counts[word])
    times, pattern = read[best]
    rivals = [word for word in counts if word != best]
    # Between dots the day comes first everywhere: only what it cannot read speaks against it.
    if not (kind[0].startswith("{}.") and best == "day-first"):
        for rival in rivals:
            _check_order(text, {best: times, rival: read[rival][0]}, name, problems)
    return times, f"a time written as {pattern}"


def _check_order(
    text: pl.Series, read: Mapping[str, pl.Series], name: str, problems: Problems
) -> None:
    """Refuse a column that can be read in two ways, or needs both."""
    (best, times), (rival, others) = read.items()
    if (lost := times.is_null() & others.is_not_null()).any():
        shown = repr(text.filter(lost)[0]), repr(text.filter(times.is_not_null())[0])
        problems.add(
            f"Column '{name}' has times written {rival}, such as {shown[0]}, among others written "
            f"{best}, such as {shown[1]}; write all in the same way."
        )
    elif times.count() == others.count() and (unlike := (times != others).fill_null(False)).any():
        row = unlike.arg_true()[0]
        days = [f"{series.dt.strftime('%-d %B %Y')[row]} {word}" for word, series in read.items()]
        problems.add(
            f"Column '{name}' can be read in two ways: {text[row]!r} is {days[0]} and {days[1]}. "
            f"Say which: --times {best} or --times {rival}."
        )


def _forms(text: pl.Series) -> list[_Form]:
    """Say how values are written, a thousand of them or all."""
    few = text.gather_every(max(1, len(text) // 1000)).to_list()
    return [form for value in few if (form := _form_of(value))]


def _read(
    text: pl.Series, forms: Sequence[_Form], kind: tuple[str, bool, str], codes: Sequence[str]
) -> tuple[pl.Series, str]:
    """Read the times of a kind, with any time of day; gives them and the most frequent pattern."""
    parsed, tried = nulls(text), list[str]()
    while True:
        patterns = Counter(
            form.date.format(*codes).replace("\0", form.clock)
            for form in forms
            if form.kind == kind
        )
        new = [pattern for pattern, _ in patterns.most_common() if pattern not in tried]
        for pattern in new:
            parsed = parsed.fill_null(_tried(text, pattern)) if tried else _tried(text, pattern)
            tried.append(pattern)
            if parsed.null_count() == text.null_count():
                return parsed, tried[0]
        if not new:
            return parsed, tried[0]
        # What no value of the sample looked like.
        forms = _forms(text.filter(parsed.is_null() & text.is_not_null()))
