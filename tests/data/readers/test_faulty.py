"""Broken files of every format: they are read into a valid log or refused in whole sentences."""

import warnings
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightrec.__main__ import main
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import read_tables
from lightrec.errors import DataError
from tests.data.readers.faults import BREAK, FORMATS, damage

EXAMPLES = 40
"""Files of each format."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def attempt(path: Path) -> tuple[InteractionLog | None, DataError | None]:
    try:
        return read_tables(path).log, None
    except DataError as error:
        return None, error


@pytest.mark.parametrize("kind", FORMATS)
def test_clean_files_are_read(kind: str, tmp_path: Path) -> None:
    assert len(read_tables(FORMATS[kind](tmp_path, Random(0))).log) == 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32),
    names=st.lists(st.sampled_from(sorted(BREAK)), min_size=1, max_size=3),
)
def test_broken_files_are_refused_or_read(
    kind: str, seed: int, names: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        given, made = Path(name) / "given", Path(name) / "made"
        given.mkdir()
        path = FORMATS[kind](given, Random(seed))
        broken = damage(path, names, Random(seed))
        before = contents(Path(name))
        log, refused = attempt(path)
        if refused:
            assert str(broken) in str(refused) or str(path) in str(refused)
            assert 1 <= len(refused.problems) <= DataError.SHOWN
        capfd.readouterr()
        assert main(["data", "check", str(path)]) == (2 if refused else 0)
        assert main(["data", "convert", str(path), str(made)]) == (2 if refused else 0)
        told = capfd.readouterr()
        assert "Traceback" not in told.err + told.out
        assert "panicked" not in told.err
        if refused:
            assert str(refused) in told.err
            assert contents(Path(name)) == before
            assert not made.exists()
        if log:
            # What was read fits the schema, for this checks it once more.
            assert InteractionLog(log.events).events.equals(log.events)
            assert told.err == ""
            assert read_tables(made).log.events.equals(log.events)
