"""What is kept reads as Python's csv module reads it, whatever faults stand between."""

import csv
import io

from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Problems
from lightrec.errors import DataError

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
