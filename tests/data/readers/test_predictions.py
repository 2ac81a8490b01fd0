"""Predictions of others: scores or ranks, and every fault with its line."""

import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightrec.data.readers.predictions import escaped, read_predictions, unescaped
from lightrec.errors import DataError


def test_scores_and_ranks(tmp_path):
    (tmp_path / "p.csv").write_text("user,item,score\n1,007,.5\n1,8,-2\n")
    assert read_predictions(tmp_path / "p.csv").rows() == [("1", "007", 0.5), ("1", "8", -2.0)]
    pl.DataFrame({"user": [1, 1], "item": [7, 8], "rank": [1, 2]}).write_parquet(
        tmp_path / "p.parquet"
    )
    assert read_predictions(tmp_path / "p.parquet").rows() == [("1", "7", -1.0), ("1", "8", -2.0)]


def test_the_apostrophe_before_a_formula_is_taken_off_in_csv_alone(tmp_path):
    (tmp_path / "p.csv").write_text("user,item,score\n'=1+1,'-7,'-2\n'Til,8,1\n")
    assert read_predictions(tmp_path / "p.csv").rows() == [("=1+1", "-7", -2.0), ("'Til", "8", 1.0)]
    table = pl.DataFrame({"user": ["'=1"], "item": ["7"], "rank": [1]})
    table.write_parquet(tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").rows() == [("'=1", "7", -1.0)]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("user,item\n1,2\n", ["No column was recognised as score"]),
        ("user,item,score\n", ["There are no predictions."]),
        (
            "user,item,score\n1,2,nan\n1,3,good\n1,,1\n1,4,1\n1,4,2\n1,5,\n",
            [
                "Line 4 has no item.",
                "Lines 2, 3 and 7, column 'score': for example, 'nan' is not a finite number.",
                "Line 6 lists a user and an item that an earlier row lists too.",
            ],
        ),
        ("user,item,score\n1,2\n1,3,4\n", ["Line 2 has 2 fields where 3 are expected"]),
    ],
)
def test_faults_are_named(text, problems, tmp_path):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError) as raised:
        read_predictions(tmp_path / "p.csv")
    for problem, expected in zip(raised.value.problems, problems, strict=True):
        assert problem.startswith(expected)


def test_formulas_get_an_apostrophe_and_nothing_else_does():
    titles = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r1", "'=1", "'Til then", "a=1", ""]
    table = pl.DataFrame({"title": titles, "score": [-1.5] * len(titles)})
    marked = [f"'{title}" for title in titles[:7]]
    assert escaped(table)["title"].to_list() == [*marked, "'Til then", "a=1", ""]
    assert escaped(table)["score"].equals(table["score"])


@given(st.lists(st.text(st.sampled_from("'=+-@\t\ra\n\","), max_size=5), min_size=1))
def test_what_is_written_is_read_back(words):
    table = pl.DataFrame({"word": words, "row": range(len(words))})
    file = io.BytesIO()
    escaped(table).write_csv(file, quote_style="always")
    assert not any(line.startswith(b'"=') for line in file.getvalue().splitlines())
    read = pl.read_csv(file.getvalue(), schema=table.schema)
    assert unescaped(read).equals(table)
