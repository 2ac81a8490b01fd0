"""The tables beside a log: items with their words and attributes, and users with theirs."""

from pathlib import Path
from typing import ClassVar

import polars as pl

from lightrec.data.schema import Place, cast_column, read_metadata, row_problems, write_table
from lightrec.keys import Column


class _Table:
    """Rows with a unique id and any attributes; row order is kept."""

    kind: ClassVar[str]
    key: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = ()

    def __init__(self, rows: pl.DataFrame, *, place: Place | None = None) -> None:
        place = place or Place()
        if self.key not in rows.columns:
            raise place.error(
                f"The {self.kind} table has no column '{self.key}'; it has "
                f"{', '.join(rows.columns) or 'no columns'}."
            )
        problems: list[str] = []
        fixed = [
            cast_column(rows[name], pl.String(), place, problems)
            if name in rows.columns
            else pl.Series(name, [None], pl.String).new_from_index(0, rows.height)
            for name in (self.key, *self.words)
        ]
        ids = fixed[0]
        problems += row_problems(ids.is_null(), lambda row: f"{place.row(row)} has no {self.key}.")
        problems += row_problems(
            ~ids.is_first_distinct() & ids.is_not_null(),
            lambda row: f"{place.row(row)}: {self.key} '{ids[row]}' stands in an earlier row too.",
        )
        if problems:
            raise place.error(problems)
        names = [series.name for series in fixed]
        attributes = [rows[name] for name in rows.columns if name not in names]
        self._rows = pl.DataFrame([*fixed, *attributes])

    def __len__(self) -> int:
        return self._rows.height

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows: {', '.join(self._rows.columns)})"

    def write_parquet(self, path: Path | str) -> None:
        """Write the table as canonical Parquet."""
        write_table(self._rows, Path(path), self.kind)

    @staticmethod
    def _read(path: Path, kind: str) -> pl.DataFrame:
        read_metadata(path, kind)
        return pl.read_parquet(path)


class Catalog(_Table):
    """The items: ``item`` (str, unique), ``title`` and ``text`` (str, may be null), attributes.

    :param items: the columns above and any others, which are kept as attributes.
    :param place: where the rows come from, for messages.
    :raises DataError: where ``item`` is missing, null or not unique.
    """

    kind = "catalog"
    key = Column.ITEM
    words = (Column.TITLE, Column.TEXT)

    @property
    def items(self) -> pl.DataFrame:
        """One row an item."""
        return self._rows

    @classmethod
    def read_parquet(cls, path: Path | str) -> "Catalog":
        """Read a catalog written by ``write_parquet``."""
        return cls(cls._read(Path(path), cls.kind), place=Place(Path(path)))


class Users(_Table):
    """The users: ``user`` (str, unique) and any attributes.

    :param users: one row a user.
    :param place: where the rows come from, for messages.
    :raises DataError: where ``user`` is missing, null or not unique.
    """

    kind = "users"
    key = Column.USER

    @property
    def users(self) -> pl.DataFrame:
        """One row a user."""
        return self._rows

    @classmethod
    def read_parquet(cls, path: Path | str) -> "Users":
        """Read a user table written by ``write_parquet``."""
        return cls(cls._read(Path(path), cls.kind), place=Place(Path(path)))
