"""The fast look and the slow look agree, and what is kept reads as Python's csv module reads it."""

import csv
import io

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightrec.data.problems import Problems
from lightrec.data.readers import scan
from lightrec.data.readers.scan import Layout, clean_records
from lightrec.data.readers.sieve import Sieve

FIELDS = [b"a", b"", b" ", "é".encode(), b'"x"', b'"x,y"', b'"x""y"', b'""', b'"x\ny"', b'"x\r\ny"']
FAULTS = [b"", b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"b"]

texts = st.builds(
    lambda rows, at, fault, end, last: (
        (text := end.join(b",".join(row) for row in rows) + last)[: at % (len(text) + 1)]
        + fault
        + text[at % (len(text) + 1) :]
    ),
    st.lists(st.tuples(*[st.sampled_from(FIELDS)] * 3), min_size=1, max_size=5),
    st.integers(0, 99),
    st.sampled_from(FAULTS),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\r\n\r\n", b"\n\n\n", b"b\n"]),
)


@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=texts, size=st.sampled_from([1, 2, 3, 7, 999]))
@example(text=b"a,b,c\nb\n", size=1)
def test_both_looks_agree(text: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CHUNK", size)
    layout = Layout(["x", "y", "z"], b",")
    records = clean_records(io.BytesIO(text), layout)
    problems = Problems()
    sieve = Sieve(layout, problems)
    sieve.sift(io.BytesIO(text))
    if records is not None:
        assert problems.sentences == []
        assert [records.line(row) for row in range(records.count)] == list(sieve.lines)
    if not sieve.lines:
        return
    kept = bytes(sieve.good)
    frame = pl.read_csv(kept, has_header=False, infer_schema=False, low_memory=True)
    expected = list(csv.reader(io.StringIO(kept.decode(), newline="")))
    assert [[value or "" for value in row] for row in frame.rows()] == expected
