"""The data stage refuses bad input and leaves the run folder as it was."""

from functools import partial
from pathlib import Path

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables, read_tables
from lightrec.data.readers.canonical import write_folder
from lightrec.stages.data import more

GOOD = "user,item,time\n" + "".join(f"u{n % 3},i{n % 4},{1_700_000_000 + n}\n" for n in range(24))


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def run(log: Path, out: Path, *more: str) -> int:
    return main(["run", "generic", "--log", str(log), "--out", str(out), "--until", "data", *more])


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("user,item,time\na,x,soon\n", (), "column 'time': 'soon' is not a point in time"),
        ("user,item\na,x\nb\n", (), "Line 3 has 1 field where 2 are expected"),
        ("user\na\n", (), "No column was recognised as item"),
        ("user,item\na,x\n", ("--data.k_core", "9"), "Nothing is left of the log's 1 events"),
        ("", (), "The file is empty."),
    ],
)
def test_nothing_is_left_of_a_refused_input(
    content: str,
    more: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "runs" / "mine"
    log.write_text(content)
    assert run(log, out, *more) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert "Traceback" not in told.err
    assert contents(tmp_path) == {"log.csv"}
    log.write_text(GOOD)
    assert run(log, out, "--data.k_core", "1") == 0
    before = contents(out)
    assert "data/meta.json" in before
    log.write_text(content)
    assert run(log, out, *more) == 2
    assert contents(out) == before


def test_the_tables_of_several_logs_are_joined_and_what_they_contradict_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = {}
    for n, (titles, ages) in enumerate([((None, "Xi"), (30, 41)), (("Yes", "Zed"), (30, 42))], 1):
        log = InteractionLog(pl.DataFrame({"user": [f"u{n}"], "item": [f"i{n}"]}))
        items = {"item": [f"i{n}", "i3"], "title": titles, "price": [n, n], "tags": ["a|b", "c|d"]}
        users = {"user": ["u0", "u9"], "age": ages, f"only_{n}": [n, n]}
        sources[f"log-{n}"] = folder = tmp_path / f"log {n}"
        write_folder(Tables(log, Catalog(pl.DataFrame(items)), Users(pl.DataFrame(users))), folder)
    logs, items, users = more(sources, partial(read_tables))
    assert [len(log or ()) for log in logs.values()] == [1, 1]
    assert items is not None
    assert users is not None
    assert items.rows.select("item", "title", "price").sort("item").rows() == [
        ("i1", None, 1),
        ("i2", "Yes", 2),
        ("i3", "Zed", 2),
    ]
    assert users.rows.rows() == [("u0", 30, 1, 2), ("u9", 42, 1, 2)]
    told = capsys.readouterr().err
    assert (
        f"{sources['log-2'] / 'catalog.parquet'} says otherwise of 1 item (title, price) than the "
        "tables before it, and counts."
    ) in told
    assert "says otherwise of 1 user (age) than" in told
    # What is named as the table of items comes last, as somebody wants it so.
    own = tmp_path / "items.csv"
    own.write_text("item,title\ni3,Three\n")
    items = more({**sources, "items": own}, partial(read_tables))[1]
    assert items is not None
    assert sorted(items.rows["title"].drop_nulls()) == ["Three", "Yes"]
    assert "items.csv" not in capsys.readouterr().err
