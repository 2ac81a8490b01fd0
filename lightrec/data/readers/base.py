"""The base class of readers, and how the reader of a path is found."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lightrec import plugins
from lightrec.data.catalog import Catalog, Users
from lightrec.data.files import check_content, check_input, is_url
from lightrec.data.log import InteractionLog
from lightrec.data.schema import Problems
from lightrec.data.times import TimeFormat, Times
from lightrec.data.types import KINDS, Kind
from lightrec.errors import DataError, no_such


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

    def __init__(self, times: TimeFormat = "auto") -> None:
        self.times: TimeFormat = times

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
    items: Path | None = None,
    users: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    user_columns: Mapping[str, str] | None = None,
    reader: str | None = None,
    times: str = "auto",
    drop_unreadable_times: bool = False,
    types: Mapping[str, Kind] | None = None,
) -> Tables:
    """Read a log with the reader that recognises it, and item and user tables.

    :param items: the item table's path; by default the table that came with the log, if any.
    :param users: the user table's path; by default as for items.
    :param columns: the log's column names by their meaning: ``{user: customer, item: sku}``.
    :param item_columns: those of the item table, ``{item: id, brand: maker}``, where any name of
        an attribute may be given.
    :param user_columns: those of the user table.
    :param reader: name of the log's reader; by default the one that recognises the path.
    :param times: how times are written, see :mod:`lightrec.data.times`.
    :param drop_unreadable_times: whether events with a time that cannot be read count as events
        without one, which are dropped; otherwise they are problems.
    :param types: kinds of attributes of the items and users, in place of those recognised; see
        :mod:`lightrec.data.types`.
    :raises DataError: with the problems of all the files, up to 20.
    """
    problems = Problems()
    catalog = known = None
    with problems.taking():
        form = Times(times, drop_unreadable_times)
        tables = find_reader(log, reader, form).read(log, columns)
    with problems.taking():
        given = [item_columns] if item_columns else []
        catalog = None if items is None else find_reader(items).read_items(items, *given)
    with problems.taking():
        given = [user_columns] if user_columns else []
        known = None if users is None else find_reader(users).read_users(users, *given)
    for path, table, kind in ((items, catalog, "item"), (users, known, "user")):
        if path is not None and table is None and not problems:
            problems.add(f"{path} holds no {kind} table; name the table itself.")
    problems.check()
    return retyped(Tables(tables.log, catalog or tables.catalog, known or tables.users), types)


def retyped(tables: Tables, types: Mapping[str, Kind] | None) -> Tables:
    """Give attributes the kinds that somebody named.

    :raises DataError: where there is no such attribute or kind, or a value does not fit.
    """
    if not types:
        return tables
    problems, catalog, users = Problems(), tables.catalog, tables.users
    known = (catalog.kinds if catalog else {}) | (users.kinds if users else {})
    for name, kind in types.items():
        if name not in known:
            problems.add(no_such("an attribute of the items or users", name, known))
        if kind not in KINDS:
            problems.add(no_such(f"a type that '{name}' can have", kind, KINDS))
    problems.check()
    with problems.taking():
        catalog = catalog and catalog.retyped(types)
    with problems.raising():
        users = users and users.retyped(types)
    return Tables(tables.log, catalog, users)


def find_reader(path: Path, name: str | None = None, times: TimeFormat = "auto") -> Reader:
    """Find the reader of a path, by name or by asking all, those of plugins first.

    :raises DataError: if the path cannot be read, or no reader recognises it.
    """
    found = plugins.installed()
    if is_url(path):
        name = name or "TableReader"
    parts = found.parts["readers"].values() if name is None else [found.get("readers", name)]
    # False sorts before True: the readers of plugins are asked first.
    for part in sorted(parts, key=lambda part: part.path.startswith("lightrec.")):
        reader: Reader = part.load()(times)
        try:
            if name is not None or reader.recognises(path):
                return reader
        except OSError as error:
            raise DataError(f"The path cannot be looked at ({error.strerror}).", path) from None
    check_input(path)
    if path.is_file():
        check_content(path, "text")
    raise DataError(
        f"No installed reader recognises it. Readers: {', '.join(found.parts['readers'])}. "
        "A table's name ends in .csv, .tsv, .txt, .dat, .jsonl (perhaps .gz or .zst) or .parquet; "
        "other formats need a plugin.",
        source=path,
    )
