"""RecBole's atomic files: tab-separated, with a header of ``name:type``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from lightrec.data.readers.base import Tables
from lightrec.data.readers.delimited import read_header, read_strings
from lightrec.data.readers.table import TableReader
from lightrec.data.schema import Place
from lightrec.errors import DataError

LOG, ITEMS, USERS = ".inter", ".item", ".user"


class RecBoleReader(TableReader):
    """A folder with one ``.inter`` file, that file, or the prefix that the files share.

    ``.item`` and ``.user`` are read where they are there. Columns of type ``float`` are numbers;
    all others stay strings, sequences too.
    """

    name = "recbole"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether there is just one ``.inter`` file in the folder, or beside the prefix."""
        return len(_logs(path)) == 1

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read the log with the item and user tables beside it.

        :param columns: which column of the ``.inter`` file (its name without the type) holds which
            column of the log.
        :raises DataError: with all problems found, up to 20.
        """
        logs = _logs(Path(path))
        if len(logs) != 1:
            raise DataError(f"There are {len(logs)} .inter files; name one of them.", path)
        tables = super().read(logs[0], columns)
        items, users = logs[0].with_suffix(ITEMS), logs[0].with_suffix(USERS)
        return Tables(
            tables.log,
            self.read_catalog(items) if items.exists() else None,
            self.read_users(users) if users.exists() else None,
            tables.ignored,
        )

    def names(self, path: Path) -> list[str]:
        """The columns of the first line, without their types."""
        return [name.partition(":")[0] for name in read_header(path, "\t", quote=False)[0]]

    def load(self, path: Path, names: Sequence[str]) -> pl.DataFrame:
        """Some columns: numbers for ``float``, strings for all else."""
        header = read_header(path, "\t", quote=False)[0]
        wanted = [full for full in header if full.partition(":")[0] in names]
        frame = read_strings(path, wanted, "\t", quote=False)
        frame.columns = [full.partition(":")[0] for full in frame.columns]
        floats = [f.partition(":")[0] for f in wanted if f.endswith(":float")]
        if path.suffix == LOG:
            # The log casts its numbers itself and names the line of a bad one.
            return frame
        return frame.with_columns(pl.col(floats).cast(pl.Float64, strict=False))

    def place(self, path: Path) -> Place:
        """Rows begin on line 2, below the header."""
        return Place(path, first_line=2)


def _logs(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob(f"*{LOG}"))
    if path.suffix == LOG:
        return [path] if path.is_file() else []
    beside = path.with_name(path.name + LOG)
    return [beside] if beside.is_file() else []
