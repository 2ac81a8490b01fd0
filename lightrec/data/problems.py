"""Gathering what is wrong with some input, so that all of it is told at once.

Only as many problems are put into words as are shown; the rest is counted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl

from lightrec.errors import DataError


class Problems:
    """What is wrong with one table, or with several.

    :param source: the file, named in the error; None where the sentences name it themselves.
    """

    def __init__(self, source: object | None = None) -> None:
        self.source = source
        self.sentences: list[str] = []
        self.more = 0
        """How many problems there are besides ``sentences``."""

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def add(self, sentence: str) -> None:
        """Add one whole sentence."""
        if len(self.sentences) < DataError.SHOWN:
            self.sentences.append(sentence)
        else:
            self.more += 1

    def add_rows(self, bad: pl.Series, sentence: Callable[[int], str]) -> None:
        """Add a sentence for each bad row.

        :param bad: (rows,) bool; null counts as good.
        :param sentence: puts the problem of a row, counted from 0, into words.
        """
        count = int(bad.sum() or 0)
        if not count:
            return
        room = DataError.SHOWN - len(self.sentences)
        rows = bad.fill_null(False).arg_true().head(max(room, 0)).to_list()
        self.sentences += [sentence(row) for row in rows]
        self.more += count - len(rows)

    def take(self, error: DataError) -> None:
        """Add the problems of an error, named with its file where that is not ours."""
        where = "" if error.source in (None, self.source) else f"{error.source}: "
        for problem in error.problems:
            self.add(where + problem)
        self.more += error.more

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Add the problems of an error that the block raises, and go on behind the block."""
        try:
            yield
        except DataError as error:
            self.take(error)

    def check(self) -> None:
        """Go on only where there is no problem.

        :raises DataError: with all of them.
        """
        if self:
            raise DataError(self.sentences, self.source, self.more)
