"""How numbers are written: marks between thousands, decimal marks and currencies, by the column."""

import re
from typing import Final

import polars as pl

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


def readings(figures: pl.Series) -> dict[str, pl.Series]:
    """Read numbers with marks, as other numbers are written.

    :returns: by decimal mark, every reading that fits all numbers; one where all say the same.
    """
    given = figures.drop_nulls()
    found = {
        mark: figures.str.replace_all(thousands, "").str.replace(mark, ".", literal=True)
        for mark, (pattern, thousands) in _NUMERALS.items()
        if given.str.contains(pattern).all()
    }
    first, *others = found.values() or [figures]
    return {"": first} if others and first.equals(others[0]) else found


def dots_may_part(figures: pl.Series) -> bool:
    """Whether the dots of numbers without commas may part thousands, as in 1.299 beside 850.

    They are decimal points where every number has one, and where a number of 1000 or more has none.
    """
    given = figures.drop_nulls()
    dotted = given.str.contains(".", literal=True)
    return (
        bool(dotted.any())
        and not bool(dotted.all())
        and bool(given.filter(dotted).str.contains(r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$").all())
        and not bool(given.filter(~dotted).str.contains(r"\d{4}|[eE]").any())
    )


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
    found, own = readings(parts.field("4")), form.rstrip(".,")
    if len(signs) > 1 or not found or (own and len(signs) and signs[0] != own):
        return None
    wholes = [mark for mark in found if not found[mark].str.contains(".", literal=True).any()]
    mark = form[-1:] if form[-1:] in found else next(iter([*wholes, *found]))
    signed = parts.field("1") + parts.field("3") + found[mark]
    numbers = signed.cast(pl.Int64 if mark in wholes else pl.Float64, strict=False)
    return numbers, "".join(signs) + mark


def number_in(value: str, form: str) -> float:
    """Read one number as a column is read.

    :param form: the column's, see :func:`prices`; empty for plain numbers.
    :raises ValueError: with what is wrong, as the end of a sentence.
    """
    if re.match(PLAIN, value) and form[-1:] != ",":
        return _number(value)
    if not (parts := re.match(_PRICE, value)):
        raise ValueError(f"{value!r} is none")
    sign, own = parts[2] or parts[5], form.rstrip(".,")
    if sign and own and _SIGNS.get(sign, sign) != own:
        raise ValueError(f"its numbers are in {own}, which {value!r} is not")
    found = readings(pl.Series([parts[4]]))
    found = {form[-1:]: found[form[-1:]]} if form[-1:] in found else found
    texts = [parts[1] + parts[3] + read[0] for read in found.values()]
    if len(texts) > 1:
        raise ValueError(f"{value!r} may be {' or '.join(texts)}; write one of these")
    if not texts:
        raise ValueError(f"{value!r} is none")
    return _number(texts[0])


def _number(text: str) -> float:
    return int(text) if re.match(WHOLE, text) else float(text)
