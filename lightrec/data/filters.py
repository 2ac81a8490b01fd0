"""One language to choose items by attributes: ``genres=Comedy and (year>=1996 or price<5)``.

::

    condition  = part {"or" part}
    part       = single {"and" single}
    single     = "not" single | "(" condition ")" | comparison
    comparison = ATTRIBUTE ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE
               | ATTRIBUTE ["not"] "in" "(" VALUE {"," VALUE} ")"

Values are whole, and their case does not count; but ``category=Books`` matches the path
``Books > Crime``, too. Lists are compared by membership, numbers as
numbers, and a date such as ``1996`` or ``1996-05`` is the whole year or month. A value with blanks
needs no quotes up to the next ``and`` or ``or`` that begins a comparison; ``"…"`` and ``'…'`` take
everything between them. ``missing`` stands for no value; any other comparison of a missing value is
false, and its ``not`` therefore true.
"""

import operator
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import polars as pl

from lightrec.data.casts import number_in, parse_times
from lightrec.data.schema import Place, Problems
from lightrec.data.types import MARKS, Kind, parted
from lightrec.errors import RecipeError, no_such
from lightrec.keys import Column

_TOKEN: Final = re.compile(
    r"""(?P<quoted>"[^"]*"|'[^']*')(?=[\s()<>=!,]|$)
    |(?P<sign><=|>=|!=|=[=<>]?|<|>)|(?P<mark>[(),])|(?P<word>(?:[^\s()<>=!,]|!(?!=))+)""",
    re.VERBOSE,
)
_LOOKS: Final = re.compile(r"[<>=]|\bin\s*\(", re.IGNORECASE)
_COMPARE: Final[Mapping[str, Callable[..., pl.Expr]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WRITTEN: Final = {"==": "=", "=<": "<=", "=>": ">="}
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MISSING: Final = "missing"
_PATH: Final = "[>›»|]"
"""Marks between the steps of a path of categories."""
_DEPTH: Final = 50
"""Levels of brackets and ``not`` within each other."""


@dataclass(frozen=True)
class Filter:
    """A condition on items.

    :param text: as it was written.
    :param expression: of bool, never null, for the table that it was parsed for.
    :param parts: the conditions that must all hold; the condition itself if it is only one.
    """

    text: str
    expression: pl.Expr
    parts: "tuple[Filter, ...]" = ()

    def mask(self, items: pl.DataFrame) -> pl.Series:
        """The items that meet the condition: (N,) bool."""
        return items.select(self.expression.alias("meets")).to_series()


def looks_like_one(text: str) -> bool:
    """Whether a text has a comparison, and so is a filter rather than a title."""
    return bool(_LOOKS.search(text))


def parse(text: str, items: pl.DataFrame, kinds: Mapping[str, Kind]) -> Filter:
    """Read a condition on a table.

    :param items: the table, whose values say what is misspelt.
    :param kinds: the kind of each attribute, such as ``store.item_kinds``.
    :raises RecipeError: where an attribute or a value is not there, or the text is no condition.
    """
    parser = _Parser(text, items, kinds)
    condition = parser.condition()
    if parser.at < len(parser.tokens):
        raise parser.fault("I do not understand {}; join conditions by 'and' or 'or'")
    return condition


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str, items: pl.DataFrame, kinds: Mapping[str, Kind]) -> None:
        self.text, self.items = text, items
        words: dict[str, Kind] = {Column.ITEM: "code", Column.TITLE: "words", Column.TEXT: "words"}
        self.kinds = {n: k for n, k in (words | dict(kinds)).items() if n in items.columns}
        self.tokens, self.at, self.depth = [*_TOKEN.finditer(text)], 0, 0

    def condition(self) -> Filter:
        each = partial(self.joined, "and", pl.all_horizontal, self.single)
        return self.joined("or", pl.any_horizontal, each)

    def joined(
        self, word: str, join: Callable[[list[pl.Expr]], pl.Expr], one: Callable[[], Filter]
    ) -> Filter:
        begin, conditions = self.at, [one()]
        while self.take(word):
            conditions.append(one())
        if len(conditions) == 1:
            return conditions[0]
        expression = join([each.expression for each in conditions])
        return Filter(self.written(begin), expression, tuple(conditions) if word == "and" else ())

    def single(self) -> Filter:
        begin = self.at
        self.depth += 1
        if self.depth > _DEPTH:
            raise self.refused(f"more than {_DEPTH} brackets and 'not' stand within each other.")
        if self.take("not"):
            denied = self.single()
            condition = Filter(self.written(begin), ~denied.expression)
        elif self.take("("):
            condition = self.condition()
            if not self.take(")"):
                raise self.fault("a ')' is missing before {}")
        else:
            condition = self.comparison()
        self.depth -= 1
        return condition

    def comparison(self) -> Filter:
        begin = self.at
        while self.kind() in ("word", "quoted") and not (
            self.at > begin and (self.is_in(0) or (self.word() == "not" and self.is_in(1)))
        ):
            self.at += 1
        name = self.written(begin).strip("\"'")
        if self.at == begin:
            raise self.fault("an attribute is expected in place of {}")
        negated = self.word() == "not" and self.is_in(1)
        self.at += negated
        if self.is_in(0):
            self.at += 2
            values = [self.value(")", ",")]
            while self.take(","):
                values.append(self.value(")", ","))
            if not self.take(")"):
                raise self.fault("a ')' is missing before {}")
            if negated:
                expression = pl.all_horizontal([self.compared(name, "!=", [v]) for v in values])
            else:
                expression = self.compared(name, "=", values)
        elif self.kind() == "sign":
            sign = _WRITTEN.get(self.tokens[self.at][0], self.tokens[self.at][0])
            self.at += 1
            expression = self.compared(name, sign, [self.value()])
        else:
            raise self.fault(
                f"a comparison such as {name}=VALUE is expected, and {name!r} is followed by {{}}"
            )
        return Filter(self.written(begin), expression)

    def value(self, *ends: str) -> tuple[str, bool]:
        """A value, and whether it was in quotes."""
        begin, depth = self.at, 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.lastgroup == "sign":
                raise self.fault("a value is expected before {}; put it in quotes if it has signs")
            if depth == 0 and (token[0] in ends or token[0] == ")"):
                break
            if depth == 0 and self.at > begin and self.begins_another():
                break
            depth += (token[0] == "(") - (token[0] == ")")
            self.at += 1
        if self.at == begin:
            raise self.fault("a value is expected before {}")
        if self.at == begin + 1 and self.tokens[begin].lastgroup == "quoted":
            return self.tokens[begin][0][1:-1], True
        return self.written(begin), False

    def begins_another(self) -> bool:
        """Whether an ``and`` or ``or`` here joins a comparison, and is no word of the value."""
        if self.word() not in ("and", "or"):
            return False
        for token in self.tokens[self.at + 1 :]:
            if token.lastgroup == "sign" or (token.lastgroup == "mark" and token[0] == "("):
                return True
            if token.lastgroup == "mark" or token[0].lower() in ("and", "or"):
                return False
        return False

    def compared(self, name: str, sign: str, values: Sequence[tuple[str, bool]]) -> pl.Expr:
        """Compare an attribute with a value, or for ``=`` with any of several."""
        column, name, kind = self.column(name)
        conditions = []
        for value, quoted in values:
            if not quoted and value.lower() == _MISSING:
                if sign not in ("=", "!="):
                    raise self.refused(f"{name!r} can be =missing or !=missing, and not {sign}.")
                null = column.is_null() if kind != "list" else column.list.len().fill_null(0) == 0
                conditions.append(null if sign == "=" else ~null)
            elif self.items.schema[name] == pl.Boolean:
                if sign not in ("=", "!="):
                    raise self.refused(f"{name!r} is true or false, which {sign} does not compare.")
                conditions.append(_COMPARE[sign](column, as_boolean(name, value)))
            elif parted(kind)[0] == "number":
                conditions.append(_COMPARE[sign](column, as_number(name, value, kind)))
            elif kind == "date":
                conditions.append(self.dated(column, name, sign, value))
            else:
                conditions.append(self.worded(column, name, sign, value))
        return pl.any_horizontal([each.fill_null(False) for each in conditions])

    def column(self, name: str) -> tuple[pl.Expr, str, Kind]:
        plain = {each.lower().replace("_", " "): each for each in self.kinds}
        attribute = name if name in self.kinds else plain.get(name.lower().replace("_", " "))
        if attribute is None:
            whose = "users" if Column.USER in self.items.columns else "items"
            raise self.refused(no_such(f"an attribute of the {whose}", name, self.kinds))
        column = pl.col(attribute)
        # NaN is missing too; in comparisons it would be above every number.
        column = column.fill_nan(None) if self.items.schema[attribute].is_float() else column
        return column, attribute, self.kinds[attribute]

    def dated(self, column: pl.Expr, name: str, sign: str, value: str) -> pl.Expr:
        begin, end = as_times(name, value)
        moment = column.cast(pl.Datetime("ms"))
        if sign in ("=", "!="):
            inside = (moment >= begin) & (moment < end)
            return inside if sign == "=" else ~inside
        last = end - timedelta(milliseconds=1)
        return _COMPARE[sign](moment, last if sign in (">", "<=") else begin)

    def worded(self, column: pl.Expr, name: str, sign: str, value: str) -> pl.Expr:
        if sign not in ("=", "!="):
            raise self.refused(
                f"{name!r} holds words, and {sign} compares numbers and dates; use =, != or in."
            )
        values = self.items[name].explode() if self.kinds[name] == "list" else self.items[name]
        wanted = matching(values, name, value, below=True)
        if self.kinds[name] == "list":
            has = column.list.eval(pl.element().is_in(wanted)).list.any()
            has = pl.when(column.list.len() > 0).then(has)
        else:
            has = column.is_in(wanted)
        return has if sign == "=" else ~has

    def kind(self) -> str | None:
        return self.tokens[self.at].lastgroup if self.at < len(self.tokens) else None

    def word(self, ahead: int = 0) -> str:
        """A word in lower case, or a mark; nothing for what is in quotes."""
        if self.at + ahead >= len(self.tokens):
            return ""
        token = self.tokens[self.at + ahead]
        return "" if token.lastgroup == "quoted" else token[0].lower()

    def is_in(self, ahead: int) -> bool:
        return self.word(ahead) == "in" and self.word(ahead + 1) == "("

    def take(self, word: str) -> bool:
        taken = self.word() == word
        self.at += taken
        return taken

    def written(self, begin: int) -> str:
        """The text from a token up to here."""
        if begin == self.at:
            return ""
        return self.text[self.tokens[begin].start() : self.tokens[self.at - 1].end()]

    def fault(self, sentence: str) -> RecipeError:
        here = repr(self.tokens[self.at][0]) if self.at < len(self.tokens) else "its end"
        return self.refused(f"{sentence.format(here)}.")

    def refused(self, sentence: str) -> RecipeError:
        shown = textwrap.shorten(self.text, 300, placeholder=" …")
        return RecipeError(f"In the filter {shown!r}: {sentence}")


def matching(values: pl.Series, name: str, value: str, below: bool = False) -> list[str]:
    """The words of an attribute that a value means, whatever its case.

    :param below: whether a value also means the paths that begin with it, such as ``Books > Crime``
        or, where most values have a stroke, ``Books/Crime``.
    :raises RecipeError: where it is none of them.
    """
    distinct = values.drop_nulls().unique()
    marks = _PATH + ("|/" if distinct.str.contains("/").sum() * 2 > len(distinct) else "")
    plain, wanted = (
        each.str.to_lowercase().str.replace_all(rf"\s*(?:{marks})\s*", "\0")
        for each in (distinct, pl.Series([value]))
    )
    meant = plain == wanted[0]
    meant |= plain.str.starts_with(wanted[0] + "\0") if below else meant
    if not (words := distinct.filter(meant).to_list()):
        hint = ""
        if re.search(r"\b(and|or)\b", value, re.IGNORECASE):
            hint = f" Each side of 'and' and 'or' needs its {name}=…"
        raise RecipeError(no_such(f"a value of {name!r}", value, distinct.sort()) + hint)
    return words


def as_value(column: pl.Series, kind: Kind, value: object) -> object:
    """Read a value that an attribute of a kind may have; for a list, one member or several.

    Several in one text stand between the marks of lists in files, as in ``first aid|welding``.

    :raises RecipeError: where the value does not fit, or is not among a column's words.
    """
    name, text = column.name, str(value)
    if kind == "list":
        there = column.explode() if isinstance(column.dtype, pl.List) else column
        members = value if isinstance(value, list | tuple) else _members(there, text)
        return [matching(there, name, str(member))[0] for member in members]
    if column.dtype == pl.Boolean:
        return as_boolean(name, text)
    if parted(kind)[0] == "number":
        number = as_number(name, text, kind)
        if column.dtype.is_integer() and not float(number).is_integer():
            raise RecipeError(f"{name!r} is a whole number, and {text!r} is none.")
        if pl.Series([number]).cast(column.dtype, strict=False)[0] is None:
            raise RecipeError(f"{name!r} has no numbers as far from zero as {text!r}.")
        return number
    return as_times(name, text)[0] if kind == "date" else matching(column, name, text)[0]


def _members(there: pl.Series, text: str) -> list[str]:
    """Part a text at a list's mark, unless it is itself a member of the column's lists."""
    mark = next((mark for mark in MARKS if mark in text), None)
    if mark is None or text.lower() in there.drop_nulls().str.to_lowercase():
        return [text]
    return [part.strip() for part in text.split(mark) if part.strip()]


def as_boolean(name: str, value: str) -> bool:
    """Read true or false.

    :raises RecipeError: where it is neither.
    """
    if value.lower() not in _BOOLEANS:
        raise RecipeError(f"{name!r} is true or false, and {value!r} is neither.")
    return _BOOLEANS[value.lower()]


def as_number(name: str, value: str, kind: Kind = "number") -> float:
    """Read a number or a price as those of an attribute are read.

    :raises RecipeError: where it is none, may be two numbers, or is in another currency.
    """
    try:
        return number_in(value.strip(), parted(kind)[1])
    except ValueError as error:
        raise RecipeError(f"{name!r} is a number, and {error}.") from None


def as_times(name: str, value: str) -> tuple[datetime, datetime]:
    """Read a year, a month, a day or a moment: its begin, and the end after it.

    :raises RecipeError: where it is none of these.
    """
    if match := re.fullmatch(r"(\d{4})(?:-(\d\d?))?", value):
        year, month = int(match[1]), int(match[2] or 1)
        if 1 <= year < 9999 and 1 <= month <= 12:
            after = (year + month // 12, month % 12 + 1) if match[2] else (year + 1, 1)
            return datetime(year, month, 1), datetime(*after, 1)
    problems = Problems()
    moments = parse_times(pl.Series([value]), "auto", Place(), problems)
    if problems or value.isdigit():
        raise RecipeError(
            f"{name!r} is a date, and {value!r} is none: write 1996, 1996-05 or 1996-05-31."
        )
    begin: datetime = moments.dt.replace_time_zone(None)[0]
    if begin.year == datetime.max.year:
        raise RecipeError(f"{name!r} is a date, and {value!r} is none that people live to see.")
    whole_day = begin.time() == datetime.min.time() and ":" not in value
    return begin, begin + (timedelta(days=1) if whole_day else timedelta(milliseconds=1))
