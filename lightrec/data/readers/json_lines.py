"""Files of one JSON object a line; every faulty line is named."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.readers.text import open_text
from lightrec.data.schema import NAMED, Place, Problems, Table
from lightrec.errors import DataError

_ROUNDED: Final = re.compile(rb"[:,\[]\s*(-?\d{16,}(?:\.\d+|[eE])[-+\deE]*)")
"""A number that JSON reads as a float, with more digits than a float holds."""
_DEPTH: Final = 50
"""Levels of lists and objects within each other; the parser's stack ends somewhere."""
_WORDS: Final = re.compile(rb'"(?:\\.|[^"\\])*"?|[^][{}"]')


class JsonTable(Table):
    """A file of one JSON object a line, compressed or not: its columns and their values.

    :param skip: whether lines that are no JSON objects are left out.
    :raises DataError: if it is missing, not readable, or has lines that are no JSON objects.
    """

    def __init__(self, path: Path, skip: bool = False) -> None:
        self.path, self._number = path, (1).__add__
        text, encoding = open_text(path)
        self.form = f"JSON lines, {encoding}"
        if bytes(text[:64]).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
            raise DataError(
                "The file is one JSON list, and a line for each object is needed; write it so, for "
                "example with `jq -c '.[]' OLD > NEW.jsonl`.",
                path,
            )
        if skip:
            lines = _lines(bytes(text))
            good = [number for number, line in lines.items() if _is_object(line)]
            text, self._number = b"\n".join(lines[number] for number in good), good.__getitem__
            for name in (f"Line {number}" for number in lines.keys() - {*good}):
                self.faults[name] = f"{name} is no JSON object."
        self._check_depth(bytes(text))
        try:
            self.rows: pl.DataFrame = pl.read_ndjson(bytes(text), infer_schema_length=None)
            """All columns as they are, objects too."""
        except pl.exceptions.PolarsError as error:
            self._refuse(bytes(text), error)
        self.names = self.rows.columns
        long = self.rows.select(pl.col(pl.String).str.contains(r"^-?\d{16,}$").any())
        if any(map(any, long.iter_rows())) and (match := _ROUNDED.search(bytes(text))):
            raise DataError(
                f"Line {bytes(text[: match.start()]).count(10) + 1} has the number "
                f"{match[1].decode()} in a column of text: so long, and with a fraction, its last "
                "digits are lost. Write ids as text, in quotes.",
                path,
            )

    def read(self, names: Sequence[str], problems: Problems) -> tuple[pl.DataFrame, Place]:
        """Read some columns with their types; an empty text is null.

        :param problems: receives a sentence for each column of objects, which is left out.
        """
        usable = []
        for name in dict.fromkeys(names):
            dtype = self.rows.schema[name]
            if isinstance(dtype.inner if isinstance(dtype, pl.List) else dtype, pl.Struct):
                problems.add(f"Column '{name}' holds objects, which have no place in a table.")
            else:
                usable.append(name)
        return self.rows.select(usable), Place(self.path, "Line", self._number)

    def _check_depth(self, text: bytes) -> None:
        """Refuse lines whose values lie too deep within each other."""
        problems, bad = Problems(self.path), list[int]()
        for number, line in enumerate(text.split(b"\n"), 1):
            if line.count(b"[") + line.count(b"{") > _DEPTH:
                depth = deepest = 0
                for mark in _WORDS.sub(b"", line):
                    depth += 1 if mark in b"[{" else -1
                    deepest = max(deepest, depth)
                bad += [number] if deepest > _DEPTH else []
        sentences = [
            f"Line {n} has values more than {_DEPTH} levels within each other." for n in bad
        ]
        problems.add_places(sentences[:NAMED], len(bad))
        problems.check()

    def _refuse(self, text: bytes, error: Exception) -> None:
        """Name the lines that are no JSON objects."""
        problems, bad = Problems(self.path), list[int]()
        bad += [number for number, line in _lines(text).items() if not _is_object(line)]
        sentences = [f'Line {n} is no JSON object, such as {{"user": 1}}.' for n in bad[:NAMED]]
        problems.add_places(sentences, len(bad))
        if not bad:
            problems.add(f"The lines have no columns in common ({str(error).splitlines()[0]}).")
        problems.check()


def _lines(text: bytes) -> dict[int, bytes]:
    """The lines that are not blank by their numbers."""
    lines = enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), 1)
    return {number: line for number, line in lines if line.strip()}


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
