"""The reader keeps lightrec's contract on a file in its format."""

from pathlib import Path

from lightrec_hello.reader import HelloReader

from lightrec.testing import ReaderChecks, parametrize_checks
from lightrec.testing.tiny import kit_folder


def written() -> Path:
    """A log of three events, in a folder that goes when the tests end."""
    with kit_folder("hello") as folder:
        file = folder / "log.hello"
        file.write_text("ann;tea;2024-01-01\nann;rope;2024-01-02\nbob;tea;2024-01-03\n")
    return file


@parametrize_checks(ReaderChecks(HelloReader, written))
def test_contract(check):
    check()


def test_every_line_is_an_event():
    assert len(HelloReader().read_log(written())) == 3
