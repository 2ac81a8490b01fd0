"""How the settings of stages are told on the command line."""

import sqlite3
from pathlib import Path

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.cli.run import stage_overrides
from lightrec.errors import RecipeError

STAGES = ("data", "ranker")


def test_settings_are_sorted_by_stage_and_keep_their_values():
    arguments = ["--ranker.trainer.max_epochs", "5", "--data.k_core=3", "--ranker.model.x", "a"]
    assert stage_overrides(arguments, STAGES) == {
        "ranker": ["--trainer.max_epochs", "5", "--model.x", "a"],
        "data": ["--k_core=3"],
    }


@pytest.mark.parametrize("arguments", [["stray"], ["--colour", "red"], ["--coder.x", "1"]])
def test_what_belongs_to_no_stage_is_refused(arguments):
    with pytest.raises(RecipeError):
        stage_overrides(arguments, STAGES)


def test_a_log_is_read_by_the_reader_that_is_named(tmp_path, capsys):
    (tmp_path / "log.csv").write_text("user,item\na,b\n")
    words = ["run", "generic", "--log", str(tmp_path / "log.csv"), "--out", str(tmp_path / "run")]
    assert main([*words, "--reader", "NoSuchReader"]) == 2
    assert "'NoSuchReader'" in capsys.readouterr().err


def test_what_is_recognised_is_printed_first_and_a_refused_database_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (customer TEXT, sku TEXT, event TEXT)")
        shop.execute("INSERT INTO orders VALUES ('a', 'x', 'buy'), ('a', 'x', 'return')")
    url, out = f"sqlite:///{tmp_path / 'shop.db'}#orders", tmp_path / "runs" / "shop"
    arguments = ["run", "generic", "--log", url, "--out", str(out), "--goal", "by"]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert "Did you mean 'buy'?" in told
    assert not out.parent.exists()
    assert main(["data", "check", url]) == 0
    checked = capsys.readouterr().out.split("\n\n")[1].splitlines()[1:]  # all but the format
    assert "feedback      buy 1, return 1" in checked
    assert "negative      return: in histories, never to be brought about; weights may" in told
    assert "\n".join(checked) in told


@pytest.mark.parametrize("command", ["data convert", "run"])
def test_the_slashes_of_a_query_are_its_own(command: str, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE orders (customer TEXT, sku TEXT, date TEXT)")
        rows = [(f"http://u{n % 3}/./", f"i{n % 5}", f"2024-03-0{n % 9 + 1}") for n in range(30)]
        shop.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    query = "SELECT customer, sku, date FROM orders WHERE customer = 'http://u1/./' --// ends here/"
    url, out = f"sqlite:///{tmp_path / 'shop.db'}#{query}", tmp_path / "out"
    if command == "data convert":
        words, log = [url, str(out)], out / "log.parquet"
    else:
        words = ["generic", "--log", url, "--out", str(out), "--until", "data", "--data.k_core=0"]
        log = out / "data" / "read" / "log.parquet"
    assert main([*command.split(), *words]) == 0
    users = pl.read_parquet(log)[:, 0]
    assert (len(users), users.unique().to_list()) == (10, ["http://u1/./"])
