"""No cell of a CSV file is a formula, and each can be read back."""

import io

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.spreadsheet import escaped, unescaped


def test_formulas_get_an_apostrophe_and_nothing_else_does():
    titles = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r1", "'=1", "'Til then", "a=1", ""]
    table = pl.DataFrame({"title": titles, "score": [-1.5] * len(titles)})
    found = escaped(table)
    assert found["title"].to_list() == [
        *("'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(1)", "'\t=1", "'\r1", "''=1"),
        *("'Til then", "a=1", ""),
    ]
    assert found["score"].to_list() == table["score"].to_list()


@given(st.lists(st.text(st.sampled_from("'=+-@\t\ra\n\","), max_size=5), min_size=1))
def test_what_is_written_is_read_back(words):
    table = pl.DataFrame({"word": words, "row": range(len(words))})
    file = io.BytesIO()
    escaped(table).write_csv(file, quote_style="always")
    assert not any(line.startswith(b'"=') for line in file.getvalue().splitlines())
    read = pl.read_csv(file.getvalue(), schema=table.schema)
    assert unescaped(read).equals(table)
