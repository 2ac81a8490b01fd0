"""Broken files are read into a valid log, or refused in whole sentences with nothing written."""

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.__main__ import main
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import read_tables
from lightrec.errors import DataError

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
