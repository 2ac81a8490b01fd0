"""Readers of published sets: files whose names and columns are known before they are opened."""

import gzip
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from os.path import lexists
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import polars as pl

from lightrec.api import Catalog, DataError, InteractionLog, Reader, TextTable, Users, to_numbers
from lightrec.data.readers.columns import match_columns
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place, Problems, Table


class PublishedReader(TableReader):
    """A set as it was published: a folder, or the file of events that lies in it.

    A subclass names that file, defines :meth:`events`, and :meth:`items` and :meth:`users` where
    the set has such tables, and reads columns with :meth:`log` and :meth:`table`. Users of a set
    cannot name its columns otherwise.
    """

    file: ClassVar[str] = ""
    """Name of the file of events; empty where it may have any name."""
    known_by: ClassVar[frozenset[str]] = frozenset()
    """Columns of that file by which it is recognised, where its name does not say enough."""
    text: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """How its files are written, for ``TextTable``, where ``open`` would not recognise it."""

    read = Reader.read

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this is the file of events, or a folder that holds it."""
        file = cls.located(path)
        right = file.name == cls.file if cls.file else TableReader.recognises(file)
        return right and file.is_file() and cls.known_by <= first_names(file)

    @classmethod
    def located(cls, path: Path) -> Path:
        """The path of the file of events, whether or not it is there."""
        return path / cls.file if path.is_dir() else path

    def open(self, path: Path) -> Table:
        """Open one of the files."""
        return TextTable(path, **self.text) if self.text else super().open(path)

    @abstractmethod
    def events(self, file: Path) -> InteractionLog:
        """Read the events.

        :param file: what :meth:`located` gave, as for :meth:`items` and :meth:`users`.
        :raises DataError: with all problems found, up to 20.
        """

    def items(self, file: Path) -> Catalog | None:
        """Read the item table; None where there is none."""
        return None

    def users(self, file: Path) -> Users | None:
        """Read the user table; None where there is none."""
        return None

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log; ``columns`` must be empty, since the format is fixed."""
        return self.events(self._fixed(path, columns))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the item table, where there is one; ``columns`` must be empty."""
        return self.items(self._fixed(path, columns))

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read the user table, where there is one; ``columns`` must be empty."""
        return self.users(self._fixed(path, columns))

    def log(self, file: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read events whose columns need no change, as ``TableReader`` does.

        :param columns: from columns of the log to those of the file, by name or position.
        """
        return super().read_log(file, columns)

    def table(
        self,
        file: Path,
        columns: Mapping[str, str],
        whole: Mapping[str, tuple[float, float, str]] = MappingProxyType({}),
    ) -> tuple[pl.DataFrame, Place]:
        """Read columns of a file under names of one's own.

        :param columns: from the names of one's own to those of the file, or their positions.
        :param whole: columns that hold a whole number in every row, with the smallest and the
            largest, and how a message describes what was expected.
        :returns: the columns, of text as strings and null where empty; and the place that names
            their rows.
        :raises DataError: where the file lacks a column, a line is none, or a number is wrong.
        """
        problems, table = Problems(file), self.open(file)
        theirs = match_columns(table, dict.fromkeys(columns, ()), columns, [], problems)
        problems.check()
        frame, place = table.read([*dict.fromkeys(theirs.values())], problems)
        problems.check()
        named = frame.select(pl.col(name).alias(ours) for ours, name in theirs.items())
        place = replace(place, names=theirs, form=table.form)
        numbers = [
            to_numbers(named[ours], pl.Int64(), limits, place, problems, required=True)
            for ours, limits in whole.items()
        ]
        problems.check()
        return named.with_columns(numbers), place

    @staticmethod
    def beside(file: Path, name: str) -> Path | None:
        """The file of a name next to the events; None where nothing has that name."""
        path = file.with_name(name)
        return path if lexists(path) else None

    def _fixed(self, path: Path, columns: Mapping[str, str] | None) -> Path:
        fixed(self.name, path, columns)
        return self.located(Path(path))


def fixed(name: str, path: Path, columns: Mapping[str, str] | None) -> None:
    """See that nobody names columns of a format.

    :raises DataError: where somebody does.
    """
    if columns:
        raise DataError(f"The columns of the format '{name}' are fixed and cannot be named.", path)


def first_names(file: Path) -> set[str]:
    """The names in a table's first line, of commas, semicolons or tabs, or of Parquet's columns."""
    if file.suffix == ".parquet":
        try:
            return set(pl.read_parquet_schema(file))
        except pl.exceptions.PolarsError:  # whoever reads it says what is wrong with it
            return set()
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        head = stream.read(1000).partition(b"\n")[0].decode("utf-8", "replace")
    if head.startswith("{"):
        return {*re.findall(r'"(\w+)"\s*:', head)}
    return {name.strip('" \r\ufeff') for name in re.split("[,;\t]", head)}
