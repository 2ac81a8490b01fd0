"""Conversion of columns of any type to the types of the canonical schema, and how numbers are read.

Nothing is rounded, cut or guessed: a value that cannot be converted exactly is a problem. Marks
between thousands, decimal marks and currencies are those of a whole column. Times are in
:mod:`lightrec.data.times`.
"""

import math
import re
from typing import Final

import polars as pl

from lightrec.data.schema import LOG_SCHEMA, Place, Problems
from lightrec.data.times import in_parts, nulls, outside_calendar, parse_times, stripped
from lightrec.keys import Column

WHOLE: Final = r"^-?(0|[1-9]\d{0,17})$"
PLAIN: Final = r"^-?(0|[1-9]\d{0,17})(\.\d+)?([eE][+-]?\d{1,2})?$"
_CURRENCY: Final = r"[€$£¥₹₩]|EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|kr|zł|Rs\.?"
_PRICE: Final = rf"^(-?)\s*({_CURRENCY})?\s*(-?)(\d[\d.,'\s]*?)\s*({_CURRENCY})?$"
_SIGNS: Final = dict(EUR="€", USD="$", GBP="£", INR="₹", Rs="₹", PLN="zł") | {"Rs.": "₹"}
_NUMERALS: Final = {
    ".": (r"^[+-]?(0|[1-9]\d{0,14}|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?$", r"[,]"),
    ",": (r"^[+-]?(0|[1-9]\d{0,14}|[1-9]\d{0,2}([.'\s]\d{3})+)(,\d+)?$", r"[.'\s]"),
}
"""By decimal mark: the pattern of such numbers, and the marks between thousands."""

# Values are held as float32 later, with room for a weight.
LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    Column.VALUE: (-1e30, 1e30, "a number between -1e30 and 1e30"),
    Column.COUNT: (0, 2**63 - 1, "a whole number of 0 or more"),
    Column.POSITION: (0, 2**15 - 1, "a whole number from 0 to 32767"),
    Column.PROPENSITY: (math.ulp(0), 1, "a probability above 0 and up to 1"),
}
"""Numbers of a log: smallest, largest, and how a message describes what was expected."""


def to_log_column(column: pl.Series, times: str, place: Place, problems: Problems) -> pl.Series:
    """Convert a column of a log to its type; null where it was refused."""
    if column.name == Column.TIME:
        return parse_times(column, times, place, problems, events=True)
    if column.name in LIMITS:
        return to_numbers(column, LOG_SCHEMA[column.name], LIMITS[column.name], place, problems)
    if column.name == Column.CANDIDATES:
        return _id_lists(column, place, problems)
    dtype = LOG_SCHEMA[column.name]
    if column.dtype == dtype == pl.Categorical:
        return column.set(column == "", None) if (column == "").any() else column
    if dtype == pl.Categorical and (column.dtype == pl.String or column.dtype.is_integer()):
        # As text a column may be larger than memory; of these, none is refused.
        return in_parts(column, lambda part: to_ids(part, place, problems).cast(dtype))
    return to_ids(column, place, problems).cast(dtype)


def to_ids(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert ids to strings: text as it is, whole numbers in digits, empty text to null.

    Floats are accepted where they hold whole numbers exactly (12.0 becomes ``12``).
    """
    dtype = column.dtype
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
        return text.set(text == "", None) if (text == "").any() else text
    if dtype.is_integer() or dtype == pl.Null or getattr(dtype, "scale", None) == 0:
        return column.cast(pl.String)
    if dtype.is_float():
        # From the next number on, several whole numbers are one float.
        limit = 2**24 - 1 if dtype == pl.Float32 else 2**53 - 1
        limits = -limit, limit, f"an id; a float must hold a whole number up to {limit}"
        return to_numbers(column, pl.Int64(), limits, place, problems).cast(pl.String)
    return _refused(column, pl.String(), "text or whole numbers", problems)


def to_required_ids(column: pl.Series, name: str, place: Place, problems: Problems) -> pl.Series:
    """Convert ids as :func:`to_ids` does, and report missing ones by the column's ``name``."""
    ids = to_ids(column, place, problems)
    missing = ids.is_null() & (column.is_null() | (column.dtype == pl.String))
    problems.add_rows(missing, lambda row: f"{place.row(row)} has no {name}.")
    return ids


def to_words(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert text for people to read; every type that can be written out is accepted."""
    if column.dtype == pl.String:
        return column
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return _refused(column, pl.String(), "text", problems)
    inside = _is_in_calendar(column, place, problems)
    return column.cast(pl.String) if inside else nulls(column, pl.String())


def check_attribute(column: pl.Series, place: Place, problems: Problems) -> None:
    """Check that a column can be an attribute of items or users."""
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    if inner.is_nested() or inner in (pl.Binary, pl.Object):
        _refused(column, pl.Null(), "text, numbers, times, or lists of these", problems)
    elif inner is not dtype and inner.is_temporal():
        _refused(column, pl.Null(), "lists of text or numbers", problems)
    else:
        _is_in_calendar(column, place, problems)


def _refused(column: pl.Series, dtype: pl.DataType, expected: str, problems: Problems) -> pl.Series:
    """Report the type of a column, and give nulls in its place."""
    problems.add(
        f"Column '{column.name}' has type {column.dtype}; expected {expected}. Convert the column "
        "or leave it out."
    )
    return nulls(column, dtype)


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
        return _refused(column, dtype, "numbers", problems)
    text = stripped(column)
    if text.dtype == pl.String and text.str.contains(r",|\.\d{3}$").any():
        forms = readings(text)
        if dtype.is_integer():
            counts = {mark: _whole(read, dtype).count() for mark, read in forms.items()}
            forms = {mark: forms[mark] for mark in forms if counts[mark] == text.count()} or forms
        elif not text.str.contains(",", literal=True).any() and not dots_may_part(text):
            forms = {mark: forms[mark] for mark in forms if mark != ","} or forms
        if len(forms) > 1:
            english, other = forms.values()
            row = (english != other).arg_true()[0]
            mark = "comma" if "," in text[row] else "dot"
            problems.add(
                f"Column '{place.name(column)}': {text[row]!r} may be {english[row]} or "
                f"{other[row]}; write it without the {mark}."
            )
            return nulls(column, dtype)
        text = next(iter(forms.values()), text)
    cast = _whole(text, dtype) if dtype.is_integer() else text.cast(dtype, strict=False)
    # NaN is above every number, and so outside.
    bad = ~cast.is_between(low, high).fill_null(False) & (column.is_not_null() | required)
    if bad.any():
        problems.add_rows(bad, lambda row: place.value(column, row, expected))
        cast = cast.set(bad, None)
    return cast


def _whole(source: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Convert to whole numbers, including those written as 3.0; null if a number is not whole."""
    if source.dtype == pl.String:
        numbers = source.cast(pl.Float64, strict=False)
        return source.cast(dtype, strict=False).fill_null(_whole(numbers, dtype))
    if source.dtype.is_float() or isinstance(source.dtype, pl.Decimal):
        source = source.set(source != source.floor(), None)
    return source.cast(dtype, strict=False)


def _id_lists(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Convert lists of ids and check that no list has an id twice."""
    dtype = LOG_SCHEMA[Column.CANDIDATES]
    lists = column.arr.to_list() if isinstance(column.dtype, pl.Array) else column
    if lists.dtype == pl.Null:
        return nulls(column, dtype)
    if not isinstance(lists.dtype, pl.List):
        return _refused(column, dtype, "lists of ids", problems)
    if lists.dtype != dtype:
        rows = lists.to_frame().with_row_index("row")
        rows = rows.filter(lists.list.len() > 0).explode(column.name)
        flat = rows[column.name]
        # Nulls and empty texts are reported below, with their list.
        ids = to_ids(flat, place.within(rows["row"]), problems)
        if ids.null_count() == len(ids) > flat.null_count():
            return nulls(column, dtype)
        whole = lists.cast(pl.List(pl.Int64), strict=False) if flat.dtype.is_float() else lists
        lists = whole.cast(dtype)
    inner = pl.element()
    empty = lists.list.eval(inner.is_null() | (inner == "")).list.any().fill_null(False)
    repeated = (lists.list.n_unique() != lists.list.len()) & ~empty
    where = f", column '{place.name(column)}': "
    problems.add_rows(empty, lambda row: f"{place.row(row)}{where}an id is empty.")
    again = "an item is among the candidates twice."
    problems.add_rows(repeated, lambda row: f"{place.row(row)}{where}{again}")
    return lists


def _is_in_calendar(column: pl.Series, place: Place, problems: Problems) -> bool:
    outside = outside_calendar(column)
    expected = "a date of the years 1 to 9999"
    problems.add_rows(outside, lambda row: place.value(column, row, expected))
    return not outside.any()


def readings(figures: pl.Series) -> dict[str, pl.Series]:
    """Read numbers with marks, as other numbers are written.

    :returns: by decimal mark, every reading that fits all numbers; one where all say the same.
    """
    values = figures.drop_nulls()
    forms = {
        mark: figures.str.replace_all(thousands, "").str.replace(mark, ".", literal=True)
        for mark, (pattern, thousands) in _NUMERALS.items()
        if values.str.contains(pattern).all()
    }
    first, *others = forms.values() or [figures]
    return {"": first} if others and first.equals(others[0]) else forms


def dots_may_part(figures: pl.Series) -> bool:
    """Whether the dots of numbers without commas may part thousands, as in 1.299 beside 850.

    They are decimal points where every number has one, and where a number of 1000 or more has none.
    """
    values = figures.drop_nulls()
    dotted = values.str.contains(".", literal=True)
    if dotted.all() or not dotted.any():
        return False
    if values.filter(~dotted).str.contains(r"\d{4}|[eE]").any():
        return False
    return bool(values.filter(dotted).str.contains(r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$").all())


def prices(text: pl.Series, form: str = "") -> tuple[pl.Series, str] | None:
    """Read numbers with marks or one currency; None where a value is none.

    Where both decimal marks fit, every mark has three digits behind it, and parts thousands.

    :param form: the column's currency and decimal mark, such as ``€,``, where they are known.
    :returns: the numbers, and their form.
    """
    if not text.drop_nulls().str.contains(_PRICE).all():
        return None
    parts = text.str.extract_groups(_PRICE).struct
    signs = pl.concat([parts.field("2"), parts.field("5")]).drop_nulls().replace(_SIGNS).unique()
    forms, currency = readings(parts.field("4")), form.rstrip(".,")
    if len(signs) > 1 or not forms or (currency and len(signs) and signs[0] != currency):
        return None
    wholes = [mark for mark in forms if not forms[mark].str.contains(".", literal=True).any()]
    mark = form[-1:] if form[-1:] in forms else next(iter([*wholes, *forms]))
    signed = parts.field("1") + parts.field("3") + forms[mark]
    numbers = signed.cast(pl.Int64 if mark in wholes else pl.Float64, strict=False)
    return numbers, "".join(signs) + mark


def number_in(value: str, form: str) -> float:
    """Read one number as a column is read.

    :param form: the column's, see :func:`prices`; empty for plain numbers.
    :raises ValueError: with what is wrong, as the end of a sentence.
    """
    texts = [value] if re.match(PLAIN, value) and form[-1:] != "," else []
    if not texts and (parts := re.match(_PRICE, value)):
        sign, currency = parts[2] or parts[5], form.rstrip(".,")
        if sign and currency and _SIGNS.get(sign, sign) != currency:
            raise ValueError(f"its numbers are in {currency}, which {value!r} is not")
        forms = readings(pl.Series([parts[4]]))
        forms = {form[-1:]: forms[form[-1:]]} if form[-1:] in forms else forms
        texts = [parts[1] + parts[3] + read[0] for read in forms.values()]
    if len(texts) > 1:
        raise ValueError(f"{value!r} may be {' or '.join(texts)}; write one of these")
    if not texts:
        raise ValueError(f"{value!r} is none")
    return int(texts[0]) if re.match(WHOLE, texts[0]) else float(texts[0])
