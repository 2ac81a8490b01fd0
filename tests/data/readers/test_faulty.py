"""Broken files are read as Python's csv module reads what is whole, or refused in sentences."""

import csv
import io
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from lightrec.__main__ import main
from lightrec.api import DataError, InteractionLog, Problems, TextTable
from lightrec.data.readers.base import read_tables

ROWS = {
    "user": [f"u{n % 4}" for n in range(12)],
    "item": [n * 37 % 11 for n in range(12)],
    "value": [n % 5 + 1.0 for n in range(12)],
    "time": [1_600_000_000 + n for n in range(12)],
}
PIECES = [b"", b"\0", b'"', b'"\n"', b"\r", b"\n\n", b",,\t::|;", b",nan\n", b"\xff", b"soon"]
PIECES += [b"9" * 40]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@settings(max_examples=40, derandomize=True)
@given(start=st.integers(0, 2000), lost=st.integers(0, 9), piece=st.sampled_from(PIECES))
def test_broken_files_are_refused_or_read(kind, start, lost, piece, capfd):
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path, made = Path(folder) / f"log.{kind}", Path(folder) / "made"
        getattr(pl.DataFrame(ROWS), f"write_{kind}")(path)
        whole = path.read_bytes()
        start %= len(whole)
        path.write_bytes(whole[:start] + piece + whole[start + lost :])
        log, problems, sentences = None, [], ""
        try:
            log = read_tables(path).log
        except DataError as error:
            problems, sentences = error.problems, str(error)
        assert len(problems) <= DataError.SHOWN
        assert log or str(path) in sentences
        capfd.readouterr()
        assert main(["data", "check", str(path)]) == (0 if log else 2)
        assert main(["data", "convert", str(path), str(made)]) == (0 if log else 2)
        printed = capfd.readouterr()
        assert "Traceback" not in printed.err + printed.out
        assert "panicked" not in printed.err
        assert sentences in printed.err
        assert made.exists() == (log is not None)
        if log:
            # What was read fits the schema, for this checks it once more.
            assert InteractionLog(log.events).events.equals(log.events)
            assert read_tables(made).log.events.equals(log.events)


FIELDS = [b"a", b"", b" ", "é".encode(), b'"x"', b'"x,y"', b'"x""y"', b'""', b'"x\ny"', b'"x\r\ny"']
FAULTS = [b"", b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"b"]
NAMES = ["x", "y", "z"]


@st.composite
def texts(draw):
    """Some lines with a fault in one place."""
    row = st.tuples(*[st.sampled_from(FIELDS)] * 3)
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    text = end.join(b",".join(fields) for fields in draw(st.lists(row, min_size=1, max_size=5)))
    text += draw(st.sampled_from([b"", b"\n", b"\r\n\r\n", b"\n\n\n", b"b\n"]))
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(FAULTS)) + text[at:]


def as_csv_reads(text):
    try:
        letters = text.decode()
    except UnicodeDecodeError:
        letters = text.decode("cp1252")
    return list(csv.reader(io.StringIO(letters, newline="")))


@settings(max_examples=150, derandomize=True)
@given(text=texts())
@example(text=b"a,b,c\nb\n")
@example(text=b"a,b,c\n\nd,e,f")
@example(text=b"\na,b,c")
@example(text=b"\r\na,b,c")
def test_what_is_kept_and_where_it_stands(text, tmp_path):
    (tmp_path / "text").write_bytes(text)
    try:
        table = TextTable(tmp_path / "text", ",", names=NAMES)
    except DataError as error:
        # A lone wrong byte beside UTF-8 may leave the encoding in doubt, which is refused.
        if "neither UTF-8 nor" not in str(error):
            raise
        reject()
    problems, sifted = Problems(), Problems()
    frame, place = table.read(NAMES, problems)
    good, lines = table._sift(sifted)
    assert problems.sentences == sifted.sentences
    assert [place.row(row) for row in range(frame.height)] == [f"Line {n}" for n in lines]
    rows = [[value or "" for value in row] for row in frame.rows()]
    assert rows == as_csv_reads(bytes(good))
    if not problems:
        assert rows == as_csv_reads(text.rstrip(b"\r\n"))
