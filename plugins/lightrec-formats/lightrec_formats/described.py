"""Published sets that descriptions of a few lines read: their files, and queries in SQL."""

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple
from urllib.parse import unquote_plus

import polars as pl
import yaml

from lightrec.api import Catalog, DataError, InteractionLog, Place, Problems, TextTable, Users
from lightrec.data.readers.base import Reader
from lightrec.data.readers.table import TableReader
from lightrec_formats.published import first_names, fixed

_WORD: Final = re.compile(r"\w+")


class Set(NamedTuple):
    """A set that lies in a folder.

    :param name: of its description.
    :param description: the description.
    :param folder: where its files are.
    :param file: the one of the first table that was given in place of the folder.
    """

    name: str
    description: Mapping[str, Any]
    folder: Path
    file: Path | None = None

    def pattern(self, table: str) -> str:
        """The name of a table's files, or their pattern."""
        description = self.description["files"][table]
        return str(description if isinstance(description, str) else description["file"])

    def paths(self, table: str) -> list[Path]:
        """The files of a table that are there."""
        if self.file and table == next(iter(self.description["files"])):
            return [self.file]
        description = self.description["files"][table]
        patterns = [
            self.pattern(table),
            *([] if isinstance(description, str) else description.get("or", [])),
        ]
        return next(filter(None, (sorted(self.folder.glob(each)) for each in patterns)), [])

    def shown(self, table: str) -> str:
        """The file of a table, or the pattern of several, for messages."""
        paths = self.paths(table)
        return paths[0].name if len(paths) == 1 else self.pattern(table)

    def known(self) -> bool:
        """Whether files have the columns by which the set is known."""
        known, first = self.description.get("known_by", ()), next(iter(self.description["files"]))
        tables = known if isinstance(known, Mapping) else {first: known}
        return all(
            any({*names} <= first_names(file) for file in self.paths(table)[:1])
            for table, names in tables.items()
        )

    def scan(self, table: str) -> pl.LazyFrame | None:
        """Open the files of a table, all values of text as they stand; None where there is none.

        :raises DataError: where lines of the text are none of a table.
        """
        description, files = self.description["files"][table], self.paths(table)
        how = {} if isinstance(description, str) else dict(description)
        _, _, empty = (how.pop(name, None) for name in ("file", "or", "empty"))
        if not files:
            return empty and pl.LazyFrame(schema=dict.fromkeys(empty, pl.String))
        kind = "" if "columns" in how else "".join(files[0].suffixes)
        if kind.endswith(".parquet"):
            return pl.scan_parquet(files).with_row_index("line", 1)
        if how.pop("document", False):
            return pl.concat(map(pl.read_json, files), how="diagonal_relaxed").lazy()
        if (schema := how.pop("lines", None)) is not None or ".json" in kind:
            types = schema and {name: getattr(pl, kind) for name, kind in schema.items()}
            return pl.scan_ndjson(files, schema=types, infer_schema_length=None)
        columns = how.pop("columns", None)
        begin = 2 if columns is None else 1
        if how.pop("text", False):
            text = TextTable(files[0], names=columns, header=True, **how)
            rows, _ = text.read(text.names, problems := Problems(files[0]))
            problems.check()
            return rows.lazy().with_row_index("line", begin)
        read = pl.scan_csv(
            files, has_header=columns is None, new_columns=columns, infer_schema=False, **how
        )
        return read.with_row_index("line", begin)

    def rows(self, query: str) -> pl.DataFrame | None:
        """Ask a query, of several the first whose files are there; None where none is.

        :raises DataError: where the files are not as the description says.
        """
        description, files = self.description.get(query, []), ""
        quoted = pl.selectors.by_name(*self.description.get("quoted", []), require_all=False)
        try:
            for words in [description] if isinstance(description, str) else description:
                named = sorted({*_WORD.findall(words)} & {*self.description["files"]})
                files = ", ".join(map(self.shown, named))
                tables = {name: self.scan(name) for name in named}
                if all(table is not None for table in tables.values()):
                    found = pl.SQLContext(tables).execute(words).collect(engine="streaming")
                    return found.with_columns(quoted.map_elements(unquote_plus, pl.String))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(
                f"{files}: not as '{self.name}' was published ({self.description['address']}): "
                f"{str(error).splitlines()[0].rstrip('.')}.",
                self.folder,
            ) from None
        return None


class DescribedReader(TableReader):
    r"""Sets as they were published, which a file of descriptions in YAML tells apart and reads.

    By the name of a set, a description holds

    - ``about`` and ``address``, for people
    - ``files``: from the names of tables in queries to those of files, or patterns of them. The
      first tells the set, and stands for its folder. Where text has no line of names, or does not
      say how it is written: ``{file: x.tsv, separator: "\t", columns: [user, item]}``, with other
      arguments of ``polars.scan_csv``. With ``text: true`` these are arguments of ``TextTable``,
      which reads one file in any encoding, and knows separators of several letters. Tables have a
      column ``line``, by whose numbers a log that has it lets messages name lines of the first
      file. ``or`` lists other places of a file, such as ``../beside/x.csv``, and ``empty`` the
      columns of a table that has no rows where its file is missing
    - ``known_by``: columns of the first file, where its name does not say enough; or by the names
      of tables, columns of their files
    - ``log``, ``items`` and ``users``: queries in the SQL of polars. Those of the tables are left
      out where a file of theirs is missing; of a list the first counts whose files are there
    - ``needs``: by columns of the log, sentences for where they have no value at all
    - ``alone``: whether the first file has to be named, as its folder may be another set
    - ``reader``: the class to be named, where another reader takes such files for its own
    - ``times``: how those of the log are written, such as ``milliseconds``; ``types``: kinds of
      attributes, where their values would be taken for others; ``quoted``: those that are
      written as in addresses, such as ``Sigur+R%C3%B3s``
    - ``example``: the text of small files, and ``gives``: rows that they hold, by query
    """

    descriptions: ClassVar[Path]
    """The file of descriptions."""

    read = Reader.read

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is the folder of one of the sets, or its first file."""
        return cls.found(path) is not None

    @classmethod
    def found(cls, path: Path) -> Set | None:
        """The set that lies at a path; None where there is none."""
        for name, description in described(cls.descriptions).items():
            found, first = Set(name, description, path), next(iter(description["files"]))
            pattern, files = Path(found.pattern(first)), [path]
            if path.is_dir():
                files = [] if description.get("alone") else sorted(path.glob(str(pattern)))
            else:
                folder = path.absolute().parents[len(pattern.parts) - 1]
                found = found._replace(folder=folder, file=path)
            right = files and files[0].is_file() and fnmatchcase(files[0].name, pattern.name)
            if right and found.known():
                return found
        return None

    @classmethod
    def sample(cls, folder: Path) -> Path:
        """Write the first set's example, on which `lightrec plugins check` tries the reader."""
        return write_example(next(iter(described(cls.descriptions).values())), folder)

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log; ``columns`` must be empty, since the formats are fixed."""
        rows, found = self._asked("log", path, columns)
        if rows is None:
            raise DataError(f"A file of the set '{found.name}' is missing.", path)
        for column, sentence in found.description.get("needs", {}).items():
            if rows[column].null_count() == rows.height:
                raise DataError(sentence, path)
        if self.times == "auto":
            self.times = found.description.get("times", "auto")
        place = Place(path, form=f"the set {found.name}")
        if (lines := rows.to_dict().pop("line", None)) is not None:
            files, rows = found.paths(next(iter(found.description["files"]))), rows.drop("line")
            path = files[0] if len(files) == 1 else path
            if files[0].suffix != ".parquet":
                place = replace(place, unit="Line")
            place = replace(place, source=path).within(lines - 1)
        return self.checked(rows, place, path, {})

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the item table, where its files are there."""
        rows, found = self._asked("items", path, columns)
        kinds = found.description.get("types", {})
        return None if rows is None else Catalog(rows, place=Place(path), types=kinds)

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read the user table, where its files are there."""
        rows, found = self._asked("users", path, columns)
        kinds = found.description.get("types", {})
        return None if rows is None else Users(rows, place=Place(path), types=kinds)

    def _asked(
        self, query: str, path: Path, columns: Mapping[str, str] | None
    ) -> tuple[pl.DataFrame | None, Set]:
        fixed(self.name, path, columns)
        if (found := self.found(Path(path))) is None:
            sets = ", ".join(described(self.descriptions))
            raise DataError(f"It is none of the sets {sets}.", path)
        return found.rows(query), found


@cache
def described(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read a file of descriptions."""
    description: Mapping[str, Mapping[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return description


def write_example(description: Mapping[str, Any], folder: Path) -> Path:
    """Write the small files of a description into a folder.

    :returns: the folder, or the first file where that is to be named.
    """
    for name, text in description["example"].items():
        (file := folder / name).parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".parquet":
            pl.read_ndjson(text.encode()).write_parquet(file)
        else:
            file.write_text(text, encoding="utf-8")
    return folder / next(iter(description["example"])) if description.get("alone") else folder
