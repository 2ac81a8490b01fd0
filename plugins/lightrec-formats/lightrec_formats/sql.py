"""The reader of databases: tables and queries by a URL such as ``sqlite:///shop.db#orders``."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.files import is_url, without_password
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place, Problems, Table
from lightrec.errors import DataError
from lightrec_formats.objects import ObjectReader

_URL: Final = re.compile(r"([a-z][\w+]{2,}):/+(?!/)")


class SqlReader(TableReader):
    """A log, or an item or user table, in a database; a URL names a table or a query."""

    name, of_urls = "sql", True

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is a URL, and no object store's."""
        return is_url(path) and not ObjectReader.recognises(path)

    def open(self, path: Path) -> "SqlTable":
        """Open the table, or ask the query."""
        return SqlTable(path)

    def copy(self, url: Path, file: Path) -> None:
        """Write all columns to a Parquet file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.open(url).rows.write_parquet(file)


class SqlTable(Table):
    """A table or the result of a query: its columns and their values.

    :param path: a URL of SQLAlchemy with ``#TABLE`` or ``#SELECT ...`` behind; slashes that a path
        has lost are put back.
    :raises DataError: if it cannot be read, or names no table.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        url, _, wanted = self.path.partition("#")
        begin = _URL.match(url)
        kind, rest = (begin[1], url[begin.end() :]) if begin else ("", "")
        file = kind.partition("+")[0] in ("sqlite", "duckdb")
        if file:
            rest = rest if Path(rest).exists() else f"/{rest}"
        self.path = bare = without_password(self.path)
        driver = "pip install 'lightrec-formats[sql]'"
        try:
            from sqlalchemy import create_engine, inspect, text
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError:
            raise DataError(f"A database is read with SQLAlchemy: {driver}.", bare) from None
        if file and not Path(rest).exists():
            raise DataError("The file does not exist.", bare)
        try:
            engine = create_engine(f"{kind}://{'/' * file}{rest}")
            with engine.connect() as connection:
                inspector = inspect(engine)
                tables = sorted({*inspector.get_table_names(), *inspector.get_view_names()})
                if wanted in tables:
                    quoted = engine.dialect.identifier_preparer.quote(wanted)
                    wanted = f"SELECT * FROM {quoted}"
                elif " " not in wanted:
                    example = tables[0] if tables else "TABLE"
                    first = f"There is no table '{wanted}'" if wanted else "No table is named"
                    raise DataError(
                        f"{first}; there are {', '.join(tables) or 'none'}. Name one behind the "
                        f"URL, as in '{bare.partition('#')[0]}#{example}', or a query.",
                        bare,
                    )
                rows = pl.read_database(text(wanted), connection, infer_schema_length=None)
        except (ImportError, ValueError, SQLAlchemyError, pl.exceptions.PolarsError) as error:
            first = without_password(str(error).splitlines()[0].rstrip("."), url)
            missing = isinstance(error, ImportError) or "plugin" in first
            advice = f"The driver may be missing: {driver}." if missing else "Look at the URL."
            raise DataError(f"It cannot be read ({first}). {advice}", bare) from None
        self.rows: pl.DataFrame = rows
        self.names = rows.columns
        self.form = f"SQL, {kind}"

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns with their types."""
        return self.rows.select(list(dict.fromkeys(names))), Place()
