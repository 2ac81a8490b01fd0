"""lightrec's own form of a data set: a folder of canonical Parquet files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.errors import DataError

LOG_FILE: Final = "log.parquet"
CATALOG_FILE: Final = "catalog.parquet"
USERS_FILE: Final = "users.parquet"


class CanonicalReader(Reader):
    """A folder with ``log.parquet`` and, where known, ``catalog.parquet`` and ``users.parquet``."""

    name = "canonical"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the folder holds a ``log.parquet``."""
        return (path / LOG_FILE).is_file()

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read the folder.

        :param columns: must be empty, since the columns have their names already.
        :raises DataError: where a file is not in the canonical schema.
        """
        if columns:
            raise DataError("The columns of a canonical log cannot be named otherwise.", path)
        catalog, users = path / CATALOG_FILE, path / USERS_FILE
        return Tables(
            InteractionLog.read_parquet(path / LOG_FILE),
            Catalog.read_parquet(catalog) if catalog.exists() else None,
            Users.read_parquet(users) if users.exists() else None,
        )


def write_tables(tables: Tables, folder: Path) -> None:
    """Write tables as canonical Parquet files into an existing folder."""
    tables.log.write_parquet(folder / LOG_FILE)
    if tables.catalog is not None:
        tables.catalog.write_parquet(folder / CATALOG_FILE)
    if tables.users is not None:
        tables.users.write_parquet(folder / USERS_FILE)
