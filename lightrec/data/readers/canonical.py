"""The reader of lightrec's own format: a folder of canonical Parquet files."""

import os
from collections.abc import Mapping
from os.path import lexists
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.files import appearing
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.errors import DataError
from lightrec.keys import Column

LOG_FILE: Final = "log.parquet"
CATALOG_FILE: Final = "catalog.parquet"
USERS_FILE: Final = "users.parquet"
_FILES: Final = (LOG_FILE, CATALOG_FILE, USERS_FILE)


class CanonicalReader(Reader):
    """A folder with ``log.parquet`` and, if known, ``catalog.parquet`` and ``users.parquet``."""

    name = "canonical"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the folder holds a ``log.parquet``."""
        return (path / LOG_FILE).is_file()

    @classmethod
    def sample(cls, folder: Path) -> Path:
        """Write three events, on which `lightrec plugins check` tries the reader."""
        log = pl.DataFrame(
            {Column.USER: ["ann", "ann", "bob"], Column.ITEM: ["tea", "rope", "tea"]}
        )
        InteractionLog(log).write_parquet(folder / LOG_FILE)
        return folder

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log; its columns have canonical names, so ``columns`` must be empty."""
        _check_names(columns, path)
        return InteractionLog.read_parquet(path / LOG_FILE)

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the item table, if there is one."""
        _check_names(columns, path)
        return Catalog.read_parquet(file) if lexists(file := path / CATALOG_FILE) else None

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read the user table, if there is one."""
        _check_names(columns, path)
        return Users.read_parquet(file) if lexists(file := path / USERS_FILE) else None


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of a canonical log cannot be named otherwise.", path)


def write_tables(tables: Tables, folder: Path) -> None:
    """Write tables as canonical Parquet files into an existing folder."""
    for name, table in zip(_FILES, (tables.log, tables.catalog, tables.users), strict=True):
        if table is not None:
            table.write_parquet(folder / name)


def check_folder(folder: Path) -> None:
    """Raise a DataError if the path is a file, a folder of something else, or not writable."""
    if folder.is_dir():
        others = sorted({path.name for path in folder.iterdir()} - set(_FILES))
        if others:
            raise DataError(
                f"The folder holds something else than a canonical log ({others[0]}); name a "
                "folder that does not exist, or an empty one.",
                folder,
            )
    elif lexists(folder):
        raise DataError("This is a file, and a folder is to be written; name another.", folder)
    above = next(path for path in folder.absolute().parents if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise DataError(f"Nothing may be written into {above}; name another folder.", folder)


def write_folder(tables: Tables, folder: Path) -> None:
    """Write or replace a folder of canonical Parquet files, which appears whole.

    :raises DataError: if it cannot be written.
    """
    check_folder(folder)
    try:
        with appearing(folder, replaces=True) as part:
            write_tables(tables, part)
    except OSError as error:
        raise DataError(f"The folder cannot be written ({error.strerror}).", folder) from None
