"""Equal content has an equal hash; any difference changes it."""

from datetime import UTC, datetime

import polars as pl
import pytest

from lightrec.data.prepare import fingerprint

TABLE = {
    "text": ["ab", "c", None],
    "number": [1, None, 3],
    "flag": [True, None, False],
    "list": [["a"], [], None],
    "time": [datetime(2024, 1, 1, tzinfo=UTC), None, None],
}


def mark(table: dict[str, list[object]] | pl.DataFrame, seed: int = 0) -> str:
    return fingerprint({"log": pl.DataFrame(table)}, {"seed": seed})


def test_chunks_do_not_matter() -> None:
    frame = pl.DataFrame(TABLE)
    assert mark(pl.concat([frame[:1], frame[1:]], rechunk=False)) == mark(frame)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", ["a", "bc", None]),
        ("text", ["ab", "c", ""]),
        ("number", [1, 0, 3]),
        ("flag", [True, False, False]),
        ("list", [["a"], None, []]),
        ("list", [[], ["a"], None]),
        ("time", [datetime(2024, 1, 2, tzinfo=UTC), None, None]),
    ],
)
def test_every_value_matters(column: str, values: list[object]) -> None:
    assert mark({**TABLE, column: values}) != mark(TABLE)


def test_names_types_settings_and_missing_tables_matter() -> None:
    marks = [
        mark(TABLE),
        mark(TABLE, seed=1),
        mark(pl.DataFrame(TABLE).rename({"text": "words"})),
        mark(pl.DataFrame(TABLE).cast({"number": pl.Float64})),
        fingerprint({"log": pl.DataFrame(TABLE), "users": None}, {"seed": 0}),
        fingerprint({"log": None}, {"seed": 0}),
    ]
    assert len(set(marks)) == len(marks)
