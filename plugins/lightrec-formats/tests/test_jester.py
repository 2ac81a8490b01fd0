"""Jester's files: ratings one by one, and as a table of people and jokes."""

import pytest
from lightrec_formats.jester import JesterReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.errors import DataError

LONG = "1\t\t5\t\t0.219\n1\t\t7\t\t-9.281\n2\t\t5\t\t99.5\n"
JOKES = """7:
<p>
Q. What&#039;s &quot;up&quot;?<br />
A. 10:
</p>

5:
<p>No.</p>
"""
WIDE = "2,-7.82,99.00,3.5\n1,99.00,99.00,-0.05\n"


def test_ratings_one_by_one(tmp_path):
    file = tmp_path / "jester_ratings.dat"
    file.write_text(LONG)
    (tmp_path / "jester_items.dat").write_text(JOKES)
    for path in (tmp_path, file):
        check_all(ReaderChecks(JesterReader, path))
        tables = JesterReader().read(path)
    events = tables.log.events.select("user", "item", "value", "feedback").rows()
    assert events[:2] == [("1", "5", 0.219, "rating"), ("1", "7", -9.281, "rating")]
    words = [("7", 'Q. What\'s "up"? A. 10:'), ("5", "No.")]
    assert tables.catalog.rows.select("item", "text").rows() == words


def test_a_table_of_people_and_jokes(tmp_path):
    file = tmp_path / "jester-data-1.csv"
    file.write_text(WIDE)
    check_all(ReaderChecks(JesterReader, file))
    log = JesterReader().read(file).log
    events = log.events.select("user", "item", "value").rows()
    assert events == [("1", "1", pytest.approx(-7.82)), ("1", "3", 3.5), ("2", "3", -0.05)]
    file.write_text(WIDE + "1,99.00,funny,99\n")
    with pytest.raises(DataError, match=r"Line 3.*'funny'"):
        JesterReader().read(file)
