"""Parquet files from anywhere, and those that lightrec wrote.

PyArrow reads them because it validates what it reads; polars then takes over the columns. The
metadata of every file that lightrec writes has the version of the schema.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Self

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from lightrec.data.files import check_content
from lightrec.data.schema import Place, Problems, Table
from lightrec.data.types import KINDS, Kind, parted
from lightrec.errors import DataError

SCHEMA_VERSION: Final = 1
VERSION_KEY: Final = "lightrec.schema_version"
KIND_KEY: Final = "lightrec.table"
KINDS_KEY: Final = "lightrec.kinds"

AHEAD: Final = {"batch_size": 1 << 20, "batch_readahead": 2, "fragment_readahead": 1}
"""How much of a file is read at once, and before it is needed."""
_FAILURES: Final = (OSError, pa.ArrowException, ValueError, MemoryError, OverflowError)
_TEXT: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LISTS: Final = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
# Types that polars has too; a log has no others.
_SIMPLE: Final = (*_TEXT, pa.types.is_null, pa.types.is_primitive, pa.types.is_decimal128)


class ParquetTable(Table):
    """Parquet: its columns, its metadata, and the values of some columns.

    :param path: a file, or a folder of files with the same columns, perhaps in folders such as
        ``day=2024-05-01``, which are columns too. Names that begin with ``_`` or ``.`` are
        left out.
    :raises DataError: if it is missing, not readable, or not a whole Parquet file.
    """

    def __init__(self, path: Path) -> None:
        self.path, files, folders = path, [path], None
        if path.is_dir():
            inside = [(file, file.relative_to(path).parts) for file in path.rglob("*.parquet")]
            files = sorted(f for f, parts in inside if not any(p[0] in "_." for p in parts))
            folders = "hive"
        for file in files or [path]:
            check_content(file, "parquet")
        metadata: dict[bytes, bytes] = {}
        try:
            self._data = ds.dataset(list(map(str, files)), format="parquet", partitioning=folders)
            self._schema = self._data.schema
            if path.is_dir():
                first, problems = pq.read_schema(files[0]), Problems(path)
                for file in files[1:]:
                    if (schema := pq.read_schema(file)) != first:
                        unlike = {str(field) for field in schema} ^ {str(field) for field in first}
                        names = ", ".join(sorted(unlike)) or "another order"
                        problems.add(
                            f"{file.name} has not the columns and types of {files[0].name} "
                            f"({names}); write them alike, or name the files one by one."
                        )
                problems.check()
            else:
                metadata = pq.read_metadata(str(path)).metadata or {}
            self.names = list(self._schema.names)
            self.metadata = {k.decode(): v.decode("utf-8", "replace") for k, v in metadata.items()}
        except _FAILURES as error:
            raise self._damaged(error) from None
        self.form = f"Parquet, {len(files):,} files" if path.is_dir() else "Parquet"

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns with their types.

        :param problems: receives a sentence for each column of a type that no table has; those
            columns are left out.
        :returns: the columns, and how their rows are named.
        :raises DataError: if the file is damaged.
        """
        usable = []
        for name in dict.fromkeys(names):
            kind = inner = self._schema.field(name).type
            if any(is_list(kind) for is_list in _LISTS):
                inner = kind.value_type
            inner = inner.value_type if pa.types.is_dictionary(inner) else inner
            if any(is_kind(inner) for is_kind in _SIMPLE):
                usable.append(name)
                continue
            problems.add(
                f"Column '{name}' has the Parquet type {kind}, which has no place in a log or "
                "table; convert it to text or numbers, or leave it out."
            )
        try:
            read = {name: [self._column(name, self._schema.empty_table())] for name in usable}
            threads = pl.thread_pool_size() > 1
            for batch in self._data.to_batches(columns=usable, use_threads=threads, **AHEAD):
                # Nothing later checks, for example, that strings are UTF-8.
                batch.validate(full=True)
                for name in usable:
                    read[name].append(self._column(name, batch))
            frame = pl.DataFrame([pl.concat(read.pop(name), rechunk=True) for name in usable])
        except (*_FAILURES, pl.exceptions.PolarsError) as error:
            raise self._damaged(error) from None
        return frame, Place(self.path)

    def _column(self, name: str, table: pa.Table | pa.RecordBatch) -> pl.Series:
        column = pl.Series(name, _plain(table.column(name)))
        is_category = name in self.repeating and column.dtype == pl.String
        return column.cast(pl.Categorical) if is_category else column

    def _damaged(self, error: BaseException) -> DataError:
        first = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
        return DataError(
            f"The file cannot be read as Parquet ({first}). It may be damaged or cut off: write or "
            "copy it again.",
            self.path,
        )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Remove the names of time zones, and all dictionaries but those of text (categories)."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not any(is_kind(kind.value_type) for is_kind in _TEXT):
        return column.cast(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return column.cast(pa.timestamp(kind.unit, "UTC"))
    return column


class CanonicalTable(ABC):
    """A checked table that can be written as canonical Parquet and read again."""

    kind: ClassVar[str]
    """Name of the table in files and messages."""
    rows: pl.DataFrame
    """The table, checked and with its types."""
    kinds: Mapping[str, Kind] = MappingProxyType({})
    """The kind of each attribute; see :mod:`lightrec.data.types`."""

    @abstractmethod
    def __init__(self, rows: pl.DataFrame, *, place: Place, **types: Mapping[str, Kind]) -> None:
        """Check the rows."""

    def __len__(self) -> int:
        return self.rows.height

    def __repr__(self) -> str:
        columns = ", ".join(filter(self.has, self.rows.columns))
        return f"{type(self).__name__}({len(self)} rows: {columns})"

    def has(self, column: str) -> bool:
        """Whether a column is known for at least one row."""
        return self.rows[column].null_count() < len(self)

    def write_parquet(self, path: Path | str) -> None:
        """Write the table as canonical Parquet."""
        metadata = {VERSION_KEY: str(SCHEMA_VERSION), KIND_KEY: self.kind}
        if self.kinds:
            metadata[KINDS_KEY] = json.dumps(self.kinds)
        self.rows.write_parquet(path, metadata=metadata)

    @classmethod
    def read_parquet(cls, path: Path | str) -> Self:
        """Read a table that :meth:`write_parquet` wrote.

        :raises DataError: if the file is no such table, or has a newer schema version.
        """
        table = ParquetTable(Path(path))
        version = table.metadata.get(VERSION_KEY, "")
        if not version.isdecimal() or table.metadata.get(KIND_KEY) != cls.kind:
            raise DataError(
                f"The file is no {cls.kind} table written by lightrec; name the file itself, so "
                "that it is read as any other Parquet file, or convert it with `lightrec data "
                "convert`.",
                path,
            )
        if int(version) > SCHEMA_VERSION:
            raise DataError(
                f"The file has schema version {version}; this lightrec reads versions up to "
                f"{SCHEMA_VERSION}. Update lightrec.",
                path,
            )
        problems = Problems(path)
        with problems.raising():
            rows, place = table.read(table.names, problems)
        kinds: object = None
        with suppress(ValueError, RecursionError):
            kinds = json.loads(table.metadata.get(KINDS_KEY, "{}"))
        if not isinstance(kinds, dict) or any(
            parted(str(kind))[0] not in KINDS for kind in kinds.values()
        ):
            raise table._damaged(ValueError(f"its {KINDS_KEY} are no kinds of attributes"))
        return cls(rows, place=place, **({"types": kinds} if kinds else {}))
