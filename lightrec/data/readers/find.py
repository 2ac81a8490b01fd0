"""From paths to tables: the reader that fits a path, and item and user tables beside the log."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lightrec import plugins
from lightrec.data.files import check_input
from lightrec.data.problems import Problems
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.table import read_catalog, read_users
from lightrec.data.times import TimeFormat
from lightrec.errors import DataError


def read_tables(
    log: Path,
    items: Path | None = None,
    users: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    reader: str | None = None,
    times: TimeFormat = "auto",
) -> Tables:
    """Read a log with the reader that recognises it, and item and user tables beside it.

    :param log: the log's path.
    :param items: the item table's path; by default the table that came with the log, if any.
    :param users: the user table's path; by default as for items.
    :param columns: the log's column names by their meaning: ``{user: customer, item: sku}``.
    :param reader: name of the reader; by default the one that recognises the path.
    :param times: how the log's times are written.
    :raises DataError: with the problems of all the files, up to 20.
    """
    problems = Problems()
    catalog = known = None
    with problems.taking():
        tables = find_reader(log, reader, times).read(log, columns)
    with problems.taking():
        catalog = None if items is None else read_catalog(items)
    with problems.taking():
        known = None if users is None else read_users(users)
    problems.check()
    return replace(tables, catalog=catalog or tables.catalog, users=known or tables.users)


def find_reader(path: Path, name: str | None = None, times: TimeFormat = "auto") -> Reader:
    """Find the reader of a path, by name or by asking each; plugins' readers are asked first.

    :raises DataError: where the path cannot be read, or none recognises it.
    """
    found = plugins.installed()
    if name is not None:
        reader: Reader = found.get("readers", name).load()(times)
        return reader
    parts = list(found.parts["readers"].values())
    problem = None
    try:
        for part in [*(p for p in parts if not p.path.startswith("lightrec.")), *parts]:
            reader = part.load()(times)
            if reader.recognises(path):
                return reader
    except OSError as error:
        problem = DataError(f"The path cannot be looked at ({error.strerror}).", path)
    if problem is not None:
        raise problem
    check_input(path)
    raise DataError(
        f"No installed reader recognises it. Readers: {', '.join(found.parts['readers'])}. "
        "A table's name ends in .csv, .tsv (perhaps .gz) or .parquet; other formats need a plugin.",
        source=path,
    )
