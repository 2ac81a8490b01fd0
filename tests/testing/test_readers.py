"""Each check of a reader fails for a reader that is wrong in just that."""

import polars as pl
import pytest

from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all


class Right(Reader):
    """Lines of user and item, parted by a blank, in files that end in ``.pairs``."""

    name = "pairs"

    @classmethod
    def recognises(cls, path):
        return path.is_file() and path.suffix == ".pairs"

    def read_log(self, path, columns=None):
        if columns:
            raise DataError("The columns are fixed.", path)
        if not path.exists():
            raise DataError("The file does not exist.", path)
        rows = [line.split() for line in self.text(path).splitlines()]
        if any(len(row) != 2 for row in rows):
            raise DataError("Each line needs a user and an item.", path)
        return InteractionLog(pl.DataFrame(rows, schema=["user", "item"], orient="row"))

    def text(self, path):
        return path.read_text(errors="replace")


class Nameless(Right):
    name = ""


class NotItsOwn(Right):
    @classmethod
    def recognises(cls, path):
        return path.suffix == ".other"


class TakesAll(Right):
    @classmethod
    def recognises(cls, path):
        return True


class OnlyTheLog(Right):
    def read(self, path, columns=None):
        return super().read(path, columns).log


class Shuffles(Right):
    times_read = 0

    def read(self, path, columns=None):
        Shuffles.times_read += 1
        log = super().read(path, columns).log
        return Tables(InteractionLog(log.events.reverse() if self.times_read % 2 else log.events))


class ForgivesColumns(Right):
    def read(self, path, columns=None):
        return super().read(path)


class Traceback(Right):
    def read(self, path, columns=None):
        path.read_text()
        return super().read(path, columns)


class TrustsLetters(Right):
    def text(self, path):
        return path.read_text("utf-8")


class Mutters(Right):
    def read_log(self, path, columns=None):
        if path.exists() and not path.read_bytes():
            raise DataError("empty", path)
        return super().read_log(path, columns)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "log.pairs").write_text("u1 tea\nu1 rope\nu2 lamp\n")
    return tmp_path / "log.pairs"


def test_a_right_one_passes(path, failing):
    assert failing(ReaderChecks(Right, path)) == set()
    check_all(ReaderChecks(Right, path))


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (Nameless, {"recognises"}),
        (NotItsOwn, {"recognises"}),
        (TakesAll, {"recognises"}),
        (OnlyTheLog, {"tables"}),
        (Shuffles, {"deterministic"}),
        (ForgivesColumns, {"refusals"}),
        (Traceback, {"refusals", "broken files"}),
        (TrustsLetters, {"broken files"}),
        (Mutters, {"broken files"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, path, failing):
    assert failing(ReaderChecks(wrong, path)) == names
