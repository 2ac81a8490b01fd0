"""CSV that a spreadsheet may open: no cell of it is taken for a formula.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
return, and words of a log may come from anybody. Such a cell gets an apostrophe in front, as OWASP
recommends ("CSV Injection"); so does one that has apostrophes before such a character, so that
what is written can be read back exactly.
"""

from typing import Final

import polars as pl
from polars import selectors

FORMULA: Final = r"^('*[=+\-@\t\r])"
ESCAPED: Final = r"^'('*[=+\-@\t\r])"


def escaped(table: pl.DataFrame) -> pl.DataFrame:
    """Give a table whose text columns hold no formula; numbers stay as they are."""
    return table.with_columns(selectors.string().str.replace(FORMULA, "'$1"))


def unescaped(table: pl.DataFrame) -> pl.DataFrame:
    """Give a table as it was before :func:`escaped`."""
    return table.with_columns(selectors.string().str.replace(ESCAPED, "$1"))
