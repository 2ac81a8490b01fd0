"""Reading the Parquet files that lightrec wrote itself, whose metadata says what they are."""

from pathlib import Path

import polars as pl

from lightrec.data.parquet import ParquetTable
from lightrec.data.problems import Problems
from lightrec.data.schema import KIND_KEY, SCHEMA_VERSION, VERSION_KEY
from lightrec.errors import DataError


def read_canonical(path: Path, kind: str) -> pl.DataFrame:
    """Read a table that ``lightrec.data.schema.write_table`` wrote.

    :param kind: ``log``, ``catalog`` or ``users``.
    :raises DataError: where the file is no such table, or of a newer schema version.
    """
    table = ParquetTable(path)
    found = table.metadata.get(VERSION_KEY, "")
    if not found.isdecimal() or table.metadata.get(KIND_KEY) != kind:
        raise DataError(
            f"The file is no {kind} table written by lightrec; name the file itself, so that it is "
            "read as any other Parquet file, or convert it with `lightrec data convert`.",
            path,
        )
    if int(found) > SCHEMA_VERSION:
        raise DataError(
            f"The file has schema version {found}; this lightrec reads versions up to "
            f"{SCHEMA_VERSION}. Update lightrec.",
            path,
        )
    problems = Problems(path)
    if len(set(table.names)) < len(table.names):
        problems.add("A column is there twice; give each column a name of its own.")
    problems.check()
    frame, _ = table.read(table.names, problems)
    problems.check()
    return frame
