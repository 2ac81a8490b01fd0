"""What a reader of logs is: the base class, and the tables that it gives."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.problems import Problems
from lightrec.data.schema import Place
from lightrec.data.times import TimeFormat


@dataclass(frozen=True)
class Tables:
    """A log with the tables that came with it."""

    log: InteractionLog
    catalog: Catalog | None = None
    users: Users | None = None
    ignored: tuple[str, ...] = ()
    """Columns of the log's file that have no place in a log and were left out."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of the log to column of the file, where the file names its columns."""


class NamedColumns(Protocol):
    """One file with named columns, opened, of which nothing but the names need be read yet."""

    names: list[str]
    """The columns, in the file's order."""

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns.

        :param problems: gets a sentence for each line that has a fault.
        :returns: the columns without those lines, and how the rows are named.
        :raises DataError: where nothing can be read at all.
        """


class Reader(ABC):
    """Reads one format of logs.

    Subclass it in a plugin and return the class from the hook ``lightrec_readers``.

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
    def read(self, path: Path, columns: Mapping[str, str] | None = None) -> Tables:
        """Read a log and the tables beside it.

        :param path: what ``recognises`` accepts.
        :param columns: which column of the file holds which column of the log, such as
            ``{"item": "movie"}``; columns not named are recognised by common names.
        :raises DataError: with all problems found, up to 20.
        """
