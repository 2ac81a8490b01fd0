"""Content hashes of tables that do not depend on library versions or chunks in memory."""

import hashlib
import json
from collections.abc import Mapping

import polars as pl

_ROWS = 500_000


def fingerprint(tables: Mapping[str, pl.DataFrame | None], settings: Mapping[str, object]) -> str:
    """Hash tables and settings together.

    :param settings: anything that JSON can hold.
    :returns: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for name, table in tables.items():
        digest.update(f"\0{name}\0{None if table is None else table.height}\0".encode())
        if table is not None:
            _add_table(digest, table)
    return digest.hexdigest()


def _add_table(digest: "hashlib.blake2b", table: pl.DataFrame) -> None:
    for column in table:
        digest.update(f"\0{column.name}\0{column.dtype}\0".encode())
        if column.null_count() == len(column):
            continue
        for start in range(0, len(column), _ROWS):
            _add(digest, column.slice(start, _ROWS))


def _add(digest: "hashlib.blake2b", column: pl.Series) -> None:
    """Hash the positions of nulls, the lengths of lists and strings, and the values."""
    if column.null_count():
        digest.update(column.is_null().to_numpy().tobytes())
    if column.dtype == pl.List:
        digest.update(column.list.len().fill_null(0).to_numpy().tobytes())
        _add(digest, column.filter(column.list.len() > 0).explode())
        return
    if column.dtype == pl.String:
        digest.update(column.str.len_bytes().fill_null(0).to_numpy().tobytes())
        digest.update(column.fill_null("").str.join("").item().encode())
        return
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        column = column.to_physical() if column.dtype.is_temporal() else column.cast(pl.String)
        if column.dtype == pl.String:
            _add(digest, column)
            return
    digest.update(column.fill_null(0 if column.dtype.is_numeric() else False).to_numpy().tobytes())
