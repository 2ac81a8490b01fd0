"""CSV that is safe to open in a spreadsheet.

A spreadsheet computes a cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage
return, and the words of a log may come from anybody. Such a cell gets an apostrophe in front, as
OWASP recommends ("CSV Injection"); so does one with apostrophes before such a character, so that
the original can be read back exactly.
"""

from typing import Final

import polars as pl
from polars import selectors

FORMULA: Final = r"^('*[=+\-@\t\r])"
ESCAPED: Final = r"^'('*[=+\-@\t\r])"


def escaped(table: pl.DataFrame) -> pl.DataFrame:
    """Escape the formulas in the text columns of a table; numbers stay as they are."""
    return table.with_columns(selectors.string().str.replace(FORMULA, "'$1"))


def unescaped(table: pl.DataFrame) -> pl.DataFrame:
    """Restore a table as it was before :func:`escaped`."""
    return table.with_columns(selectors.string().str.replace(ESCAPED, "$1"))
