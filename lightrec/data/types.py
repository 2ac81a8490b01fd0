"""Kinds of the columns of item and user tables: numbers, categories, lists, dates, images, words.

A column's kind is recognised from all of its values and never value by value; ``types`` on the line
or in a recipe overrides it. Kinds and the types of their values:

- ``number``: Int64, Float64 or Boolean (``true``, ``false``). Prices such as ``€ 12,50`` and
  ``$1,299.00`` are numbers where all values have the same currency and the same decimal mark.
  Numbers with leading zeros stay text, because they may be codes.
- ``date``: Date or Datetime, by the rules for times of :mod:`lightrec.data.times`.
- ``list``: List(String), from ``Adventure|Animation``, ``['a', 'b']``, ``["a", "b"]``, or
  ``a; b`` and ``a, b`` where the rows share so many members that they can be nothing else.
- ``image``: paths or addresses of pictures. ``words``: several words, mostly distinct. ``code``:
  one distinct text a row, such as an SKU. ``category``: any other text.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast, get_args

import polars as pl

from lightrec.data.casts import PLAIN, WHOLE, dots_may_part, prices
from lightrec.data.schema import Place, Problems
from lightrec.data.times import parse_times

Kind: TypeAlias = Literal["number", "category", "list", "date", "image", "words", "code"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

MISSING: Final = ("", "na", "n/a", "nan", "null", "none", "-", "--", "?", r"\n")
"""Marks of a missing value among numbers and dates, in lower case."""
_DATELIKE: Final = r"^\d[\d\s:./+\-]*\d.{0,12}$|^\d.*\d{4}|^[A-Za-z]{3,9}\.? \d.*\d{4}"
_IMAGE: Final = r"(?i)\.(png|jpe?g|gif|webp|bmp|tiff?|avif)(\?\S*)?$"
_BRACKETS: Final = r"^\[.*\]$"
MARKS: Final = {"|": (0.0001, 0.8), ";": (0.2, 0.8), ",": (0.5, 0.5)}
"""Marks between members: the least share of distinct values with one, and the most distinct members
for each member (for the comma, which sentences have too, for each value) that lists have."""


def recognised(column: pl.Series) -> tuple[Kind, pl.Series]:
    """A column's kind, and its values in that kind's type."""
    if kind_of_type := _kind_of(column.dtype):
        return kind_of_type, _cast(column, kind_of_type)
    text = column.cast(pl.String)
    if text.null_count() == len(text):
        return "category", text
    distinct = text.drop_nulls().unique()
    readers: dict[Kind, Callable[[pl.Series], pl.Series | None]]
    readers = {"number": _numbers, "date": _dates, "list": _lists}
    for kind, convert in readers.items():
        # Distinct values are fewer, and most columns are refused by one.
        if convert(distinct) is not None and (values := convert(text)) is not None:
            return kind, values
    if distinct.str.contains(_IMAGE).all():
        return "image", text
    words = distinct.str.count_matches(r"\S+")
    rows = len(text) - text.null_count()
    if len(distinct) >= 0.95 * rows > 1:
        return "code" if (words <= 1).mean() > 0.5 else "words", text  # type: ignore[operator]
    many = float(words.mean() or 0)  # type: ignore[arg-type]
    return "words" if many >= 3 and len(distinct) > rows / 2 else "category", text


def converted(column: pl.Series, kind: Kind, place: Place, problems: Problems) -> pl.Series:
    """Convert a column to a kind that somebody named.

    :param problems: receives a sentence where values do not fit, with the first of them.
    """
    kind, form = parted(kind)
    if kind == _kind_of(column.dtype) or kind not in ("number", "date", "list"):
        return _cast(column, kind)
    text = column if column.dtype.is_numeric() and kind == "date" else _cast(column, "words")
    if kind == "list":
        return _split(text)
    values: pl.Series | None
    if kind == "date":
        doubts = Problems()
        values = parse_times(_unmissing(text), "auto", place, doubts)
        if doubts and values.is_null().all():  # such as that day and month are not clear
            problems.sentences += doubts.sentences
            return values
    elif (values := _numbers(text, form)) is None:  # one by one, to see which do not fit
        values = _unmissing(text).str.strip_chars().cast(pl.Float64, strict=False)
    bad = (values.is_null() & _unmissing(text).is_not_null()).arg_true().to_list()
    if bad:
        some = ", ".join(f"{text[row]!r} ({place.row(row).lower()})" for row in bad[:3])
        problems.add(
            f"The column '{place.name(column)}' is to be a {kind}, and {len(bad):,} of its "
            f"{len(text) - text.null_count():,} values cannot be read as one: {some}"
            f"{', …' if len(bad) > 3 else ''}. Mend these values, or give another of the types "
            f"{', '.join(KINDS)}."
        )
    return _days(values) if kind == "date" else values


def typed(
    frame: pl.DataFrame, types: Mapping[str, Kind], place: Place, problems: Problems
) -> tuple[pl.DataFrame, dict[str, Kind]]:
    """Attributes in the types of their kinds, and the kinds by name.

    :param types: kinds that take the place of what would be recognised.
    """
    columns, kinds = list[pl.Series](), dict[str, Kind]()
    for column in frame:
        if (kind := types.get(column.name)) is None:
            kind, values = recognised(column)
        else:
            values = converted(column, kind, place, problems)
        columns.append(values.alias(column.name))
        kinds[column.name] = kind
        if kind == "number" and column.dtype == pl.String and values.dtype.is_numeric():
            # In what form they were written, see casts.prices.
            text = _unmissing(column).str.strip_chars()
            read = None if text.drop_nulls().str.contains(PLAIN).all() else prices(text)
            kinds[column.name] = cast(Kind, f"{kind}:{read[1]}" if read and read[1] else kind)
    return pl.DataFrame(columns), kinds


def parted(kind: str) -> tuple[Kind, str]:
    """Part the kind of numbers with marks, such as ``number:€,``, into kind and form."""
    plain, _, form = kind.partition(":")
    return cast(Kind, plain), form


@dataclass(frozen=True)
class Attribute:
    """An attribute as ``lightrec data check`` describes it.

    :param values: how many distinct ones there are; of lists, distinct members.
    :param example: the least and the greatest number or date; else the most frequent value, and of
        equally frequent ones the first.
    :param missing: the share of rows without a value.
    :param note: of text that is nearly all numbers or all dates, which values are none.
    """

    name: str
    kind: Kind
    values: int
    example: str
    missing: float
    note: str = ""

    @classmethod
    def of(cls, column: pl.Series, kind: Kind) -> "Attribute":
        """Describe a typed column."""
        kind = parted(kind)[0]
        values = (column.explode() if kind == "list" else column).drop_nulls().alias("value")
        if values.dtype == pl.Boolean:
            example = "true and false" if values.n_unique() == 2 else str(values.first()).lower()
        elif kind in ("number", "date"):
            example = " to ".join(map(str, dict.fromkeys([values.min(), values.max()])))
        else:
            # Sorted by value too, since counting gives no order.
            counts = values.value_counts(name="n").sort("n", "value", descending=[True, False])
            example = str(next(iter(counts["value"]), ""))
        missing = column.null_count() / max(len(column), 1)
        note = _almost(values) if kind in ("category", "words", "code") else ""
        return cls(column.name, kind, values.n_unique(), example, missing, note)


def _almost(values: pl.Series) -> str:
    """Say which few values keep text from being numbers or dates; nothing of postcodes."""
    values = _unmissing(values).drop_nulls()
    fits = values.str.contains(PLAIN)
    if fits.all() and dots_may_part(values):
        some = values.filter(values.str.contains(".", literal=True))[0]
        return f"text because {some!r} may be {some.replace('.', '')}"
    if not fits.any():
        fits = values.str.contains(_DATELIKE)
        if fits.sum() >= 0.9 * len(values):  # otherwise reading them is for nothing
            fits = parse_times(values, "auto", Place(), Problems()).is_not_null()
    others = values.filter(~fits)
    if not 0 < len(others) <= len(values) / 10 or others.str.contains(r"^0\d").any():
        return ""
    some = ", ".join(map(repr, others.unique(maintain_order=True).head(3)))
    return f"text because of {len(others):,} value{'s' * (len(others) != 1)}: {some}"


def _kind_of(dtype: pl.DataType) -> Kind | None:
    """The kind that a column's type says; None for text."""
    if isinstance(dtype, pl.List | pl.Array):
        return "list"
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Duration):
        return "number"
    if dtype in (pl.Categorical, pl.Enum):
        return "category"
    return "date" if dtype in (pl.Date, pl.Datetime) else None


def _cast(column: pl.Series, kind: Kind) -> pl.Series:
    """Bring values that are of a kind, or of any kind that becomes text, to its type."""
    dtype = column.dtype
    if kind == "list":
        return column.cast(pl.List(pl.String))
    if kind == "date" or (kind == "number" and dtype == pl.Boolean):
        return column
    if kind == "number":
        if dtype == pl.Duration:
            return column.dt.total_milliseconds() / 1000
        if dtype.is_integer():
            whole = column.cast(pl.Int64, strict=False)
            return whole if whole.null_count() == column.null_count() else column.cast(pl.Float64)
        # By way of text, a float32 of 0.1 stays 0.1.
        return (column.cast(pl.String) if dtype == pl.Float32 else column).cast(pl.Float64)
    if isinstance(dtype, pl.List | pl.Array):
        return column.cast(pl.List(pl.String)).list.join(", ")
    return column.cast(pl.String)


def _unmissing(text: pl.Series) -> pl.Series:
    """Null in place of what stands for a missing value."""
    if text.dtype != pl.String:
        return text
    return text.set(text.str.strip_chars().str.to_lowercase().is_in(MISSING), None)


def _numbers(text: pl.Series, form: str = "") -> pl.Series | None:
    """Read numbers and prices; None where a value is neither, or may be two numbers.

    :param form: how they are written where that is known.
    """
    text = _unmissing(text).str.strip_chars()
    values = text.drop_nulls()
    if not len(values):
        return None
    if values.str.contains(WHOLE).all():
        return text.cast(pl.Int64)
    if values.str.contains(PLAIN).all() and form[-1:] != ",":
        return None if not form and dots_may_part(values) else text.cast(pl.Float64)
    if values.str.contains(r"^(?i)(true|false)$").all():
        return text.str.to_lowercase() == "true"
    read = prices(text, form)
    return read and read[0]


def _dates(text: pl.Series) -> pl.Series | None:
    """Read dates and times as a log's times are read; None where a value is none."""
    text = _unmissing(text)
    values = text.drop_nulls()
    like = len(values) and values.str.contains(_DATELIKE).all()
    if not like or values.str.contains(r"^\d+$").any():
        return None
    problems = Problems()
    times = parse_times(text, "auto", Place(), problems)
    return None if problems else _days(times)


def _days(times: pl.Series) -> pl.Series:
    """Dates in place of datetimes that are all midnights."""
    days = times.dt.date()
    return days if (days.cast(times.dtype) == times).all() else times


def _lists(text: pl.Series) -> pl.Series | None:
    """Split what can only be lists; None where it is no such column."""
    values = text.drop_nulls()
    if values.str.contains(_BRACKETS).all():
        lists = in_brackets(text)
        return lists if lists.null_count() == text.null_count() else None
    distinct = values.unique()
    for mark, (least, most) in MARKS.items():
        if distinct.str.contains(mark, literal=True).sum() < least * len(distinct):
            continue
        parted = _parted(distinct, mark)
        length = 1.0 if mark == "," else parted.explode().len() / len(parted)
        if are_shared(parted, most * length):
            return _parted(text, mark)
    return None


def are_shared(lists: pl.Series, most: float) -> bool:
    """Whether distinct lists share members so much that they are lists and no sentences.

    :param most: distinct members for each list.
    """
    members = lists.explode().drop_nulls()
    length = float(members.str.len_chars().mean() or 0)  # type: ignore[arg-type]
    return members.n_unique() <= most * len(lists) and length < 30


def _parted(text: pl.Series, mark: str) -> pl.Series:
    parts = text.str.split(mark).list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != ""))


def _split(text: pl.Series) -> pl.Series:
    """Split text that is to be lists: as in brackets, or at the most likely mark."""
    values = text.drop_nulls()
    if len(values) and values.str.contains(_BRACKETS).all():
        return in_brackets(text)
    counts = {mark: int(values.str.count_matches(mark, literal=True).sum()) for mark in MARKS}
    return _parted(text, max(counts, key=counts.__getitem__))


def in_brackets(text: pl.Series) -> pl.Series:
    """Read ``["a", "b"]`` (JSON) and ``['a', 'b']`` (Python); null where a value is neither."""
    read = {value: _members(value) for value in text.drop_nulls().unique()}
    return pl.Series(text.name, [read.get(value) for value in text], pl.List(pl.String))


def _members(text: str) -> list[str] | None:
    if re.search(r"""(['"])\s+\1(?!\s*[],])""", text):  # of NumPy; Python would join the words
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(value, list) or any(isinstance(each, list | dict | tuple) for each in value):
        return None
    return [str(each) for each in value if each is not None]
