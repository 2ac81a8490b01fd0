"""The base class of readers, and how the reader of a path is found."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from lightrec import plugins
from lightrec.blame import blaming, provider
from lightrec.data.catalog import Catalog, Users
from lightrec.data.files import check_content, check_input, is_url, without_password
from lightrec.data.log import InteractionLog
from lightrec.data.schema import Problems
from lightrec.data.types import KINDS, Kind
from lightrec.errors import DataError, PluginError, UnusablePart, no_such

Columns: TypeAlias = Mapping[str, str | int | None]
"""From what a column means to its name or its position in a file; None says that there is none."""


@dataclass(frozen=True)
class Tables:
    """A log with the tables that came with it."""

    log: InteractionLog
    catalog: Catalog | None = None
    users: Users | None = None


class Reader(ABC):
    """Reads one format of logs; a plugin's hook ``lightrec_readers`` returns a subclass.

    :param times: how the log's times are written; see ``lightrec.data.times``.
    """

    name: ClassVar[str]
    """Short name of the format, such as ``csv``."""
    of_urls: ClassVar[bool] = False
    """Whether it reads URLs, such as those of databases, in place of paths."""
    skip: Path | None = None
    """Where lines of the log that cannot be used are written, which are then left out."""

    def __init__(self, times: str = "auto") -> None:
        self.times = times

    @classmethod
    @abstractmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file or folder is in this reader's format. Reads little or nothing of it."""

    @abstractmethod
    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read the log.

        :param path: what ``recognises`` accepts.
        :param columns: which column of the file holds which column of the log, such as
            ``{"item": "movie"}``; other columns are recognised by common names.
        :raises DataError: with all problems found, up to 20.
        """

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the item table at a path in this format; None if there is none.

        :param columns: as for :meth:`read_log`; a column may also be given the name of an
            attribute. They are passed only where they are given.
        """
        return None

    def read_users(self, path: Path, columns: Mapping[str, str] | None = None) -> Users | None:
        """Read the user table at a path in this format, as :meth:`read_items` does."""
        return None

    def copy(self, url: Path, file: Path) -> None:
        """Write the table that a URL names to a Parquet file; a reader of URLs defines this."""
        raise DataError(f"{type(self).__name__} reads URLs, and defines no `copy`.")

    def fetch(self, url: Path, file: Path) -> Path:
        """As :meth:`copy`; a reader may leave another file or a folder.

        :returns: what was written.
        """
        self.copy(url, file)
        return file

    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log with its item and user tables.

        :raises DataError: with the problems of all three, up to 20.
        """
        path, problems = Path(path), Problems()
        catalog = users = None
        with problems.taking():
            log = self.read_log(path, columns)
        with problems.taking():
            catalog = self.read_items(path)
        with problems.raising():
            users = self.read_users(path)
        return Tables(log, catalog, users)


def read_tables(
    log: Path,
    *,
    items: Path | None = None,
    users: Path | None = None,
    columns: Columns | None = None,
    item_columns: Columns | None = None,
    user_columns: Columns | None = None,
    reader: str | None = None,
    times: str | None = None,
    skip_broken: str | None = None,
    types: Mapping[str, Kind] | None = None,
) -> Tables:
    """Read a log with the reader that recognises it, and item and user tables.

    The arguments are options of ``lightrec data check``, ``lightrec data convert`` and ``lightrec
    run``.

    :param log: the log: a file, a folder or the URL of a database or an object store.
    :param items: the item table (default: the one that comes with the log).
    :param users: the user table (default: the one that comes with the log).
    :param columns: the log's columns, by name or position: {user: customer, item: 3}.
    :param item_columns: the item table's: {item: id, title: 2, brand: maker}.
    :param user_columns: the user table's: {user: id, born: birthday}.
    :param reader: the reader of the log (default: the one that recognises it).
    :param times: how times are written: auto, a unit such as milliseconds, iso, day-first,
        month-first, or a pattern with the codes of strptime (default: auto).
    :param skip_broken: leave out lines of the log that cannot be used, which are problems
        otherwise, and write them with what is wrong to this file, such as broken.csv.
    :param types: kinds of attributes in place of those recognised: {genres: list, zip: category}.
    :raises DataError: with the problems of all the files, up to 20.
    """
    problems, catalog, people = Problems(), None, None
    with problems.taking():
        source = find_reader(log, reader, times or "auto")
        source.skip = Path(skip_broken) if skip_broken else None
        tables = source.read(log, _names(columns))
        if not (isinstance(tables, Tables) and isinstance(tables.log, InteractionLog)):
            raise PluginError(
                f"{provider(source)} read {tables!r:.80}; expected are Tables with an "
                "InteractionLog, and a Catalog and Users or None."
            )
    with problems.taking():
        catalog = items and read_table(items, "item", item_columns)
    with problems.raising():
        people = users and read_table(users, "user", user_columns)
    return retyped(Tables(tables.log, catalog or tables.catalog, people or tables.users), types)


def read_table(path: Path, kind: str, columns: Columns | None = None) -> Any:
    """Read an item or a user table with the reader that recognises it.

    :param kind: ``item`` or ``user``.
    :returns: a Catalog or Users.
    :raises DataError: if there is no such table.
    """
    read = getattr(find_reader(path), f"read_{kind}s")
    table = read(path, _names(columns)) if columns else read(path)
    if table is None:
        raise DataError(f"{path} holds no {kind} table; name the table itself.")
    return table


def _names(columns: Columns | None) -> dict[str, str]:
    return {column: str(name) for column, name in (columns or {}).items()}


def retyped(tables: Tables, types: Mapping[str, Kind] | None) -> Tables:
    """Read attributes again in the kinds that somebody named.

    :raises DataError: where there is no such attribute or kind, or a value does not fit.
    """
    if not types:
        return tables
    problems, catalog, users = Problems(), tables.catalog, tables.users
    kinds = (catalog.kinds if catalog else {}) | (users.kinds if users else {})
    for name, kind in types.items():
        if name not in kinds:
            problems.add(no_such("an attribute of the items or users", name, kinds))
        if kind not in KINDS:
            problems.add(no_such(f"a type that '{name}' can have", kind, KINDS))
    problems.check()
    with problems.taking():
        catalog = catalog and catalog.retyped(types)
    with problems.raising():
        users = users and users.retyped(types)
    return Tables(tables.log, catalog, users)


def find_reader(path: Path, name: str | None = None, times: str = "auto") -> Reader:
    """Find the reader of a path, by name or by asking all, those of plugins first.

    A URL is read by a reader of URLs, whatever the name.

    :raises DataError: if the path cannot be read, or no reader recognises it.
    """
    installed, url = plugins.installed(), is_url(path)
    readers = installed.parts["readers"]
    name = None if url else name
    parts = readers.values() if name is None else [installed.get("readers", name)]
    # False sorts before True: the readers of plugins are asked first.
    for part in sorted(parts, key=lambda part: part.path.startswith("lightrec.")):
        try:
            reader: Reader = part.made(times)
        except UnusablePart as broken:
            if name:
                raise
            plugins.warn(str(broken))  # others may read the path
            continue
        with blaming(reader, f"say whether it reads {path}"):
            try:
                if name or (reader.of_urls == url and reader.recognises(path)):
                    return reader
            except OSError as error:
                words = f"The path cannot be looked at ({error.strerror})."
                raise DataError(words, path) from None
    check_input(path)
    if path.is_file():
        check_content(path, "text")
    raise DataError(
        f"No installed reader recognises it. Readers: {', '.join(readers)}. "
        "A table's name ends in .csv, .tsv, .txt, .dat, .jsonl (perhaps .gz or .zst) or .parquet; "
        "other formats need a plugin, such as lightrec-formats for databases and RecBole's files "
        "(`pip install plugins/lightrec-formats` in a checkout).",
        source=without_password(str(path)) if url else path,
    )
