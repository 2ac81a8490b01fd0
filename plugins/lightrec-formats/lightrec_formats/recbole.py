"""The reader of RecBole's atomic files: tab-separated, with a header of ``name:type``."""

import math
from collections.abc import Mapping, Sequence
from os.path import lexists
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.api import DataError, InteractionLog, Place, Problems, Reader, TextTable, to_numbers
from lightrec.data.readers.table import TableKind, TableReader
from lightrec.data.types import are_shared

LOG: Final = ".inter"
ANY_NUMBER: Final = (-math.inf, math.inf, "a number")


class RecBoleReader(TableReader):
    """A folder with one ``.inter`` file, that file, or the prefix that the files share.

    ``.item`` and ``.user`` are optional. In these, columns of type ``float`` are numbers, and
    sequences of tokens are lists where items share most tokens, and else words.
    """

    name = "recbole"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is exactly one ``.inter`` file in the folder or with the prefix."""
        return len(_logs(path)) == 1

    read = Reader.read

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log; ``columns`` name those of the ``.inter`` file without their types."""
        logs = _logs(Path(path))
        if len(logs) != 1:
            raise DataError(f"There are {len(logs)} .inter files; name one of them.", path)
        return super().read_log(logs[0], columns)

    def _table(
        self, kind: type[TableKind], path: Path, columns: Mapping[str, str]
    ) -> TableKind | None:
        """Read the table next to the log, ``.item`` or ``.user``, if there is one."""
        logs = _logs(path)
        file = logs[0].with_suffix(f".{kind.key}") if len(logs) == 1 else None
        return super()._table(kind, file, columns) if file and lexists(file) else None

    def open(self, path: Path) -> TextTable:
        """Open one of the three files."""
        return RecBoleTable(path)


class RecBoleTable(TextTable):
    """One atomic file; ``names`` are its columns without their types."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "\t", quote=False, header=True)
        typed = [name.partition(":") for name in self.names]
        self.names = [name for name, _, _ in typed]
        # InteractionLog converts the numbers of a log.
        typed = [] if path.suffix == LOG else typed
        self._numbers = {name for name, _, kind in typed if kind == "float"}
        self._sequences = {name for name, _, kind in typed if kind == "token_seq"}

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns: in item and user tables, numbers and lists for their types."""
        frame, place = super().read(names, problems)
        numbers = [
            to_numbers(frame[name], pl.Float64(), ANY_NUMBER, place, problems)
            for name in frame.columns
            if name in self._numbers
        ]
        # Titles are sequences too; only words that many rows share are members of lists.
        lists = [_split(frame[name]) for name in frame.columns if name in self._sequences]
        return frame.with_columns(numbers + lists), place


def _split(words: pl.Series) -> pl.Series:
    """Split text at blanks where rows share so many words that they must be lists, else keep it."""
    distinct = words.drop_nulls().unique()
    return words.str.split(" ") if are_shared(distinct.str.split(" "), 0.5) else words


def _logs(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob(f"*{LOG}"))
    file = path if path.suffix == LOG else path.with_name(path.name + LOG)
    return [file] if file.is_file() else []
