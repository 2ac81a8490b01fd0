"""`lightrec data`: check tells everything at once, convert writes whole folders or nothing."""

import json
import re

import polars as pl
import pytest

from lightrec import plugins
from lightrec.__main__ import main
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, read_tables

LOG = "who,sku,stars,when,price\na,x,5,2024-05-01,1\na,y,4,2024-05-02,1\nb,x,3,2024-05-03,1\n"
COLUMNS = "{user: who, item: sku, value: stars, time: when}"


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text("id,title,zip,year\nx,Ex,123,\nz,Zed,17,1995\n")
    return tmp_path / "log.csv"


def test_check_for_programs(log, capsys):
    arguments = ["data", "check", str(log), "--columns", COLUMNS, "--json"]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["problems"] == []
    assert summary["counts"]["users_with_one_event"] == 0
    assert summary["columns"]["user"] == "who"
    assert summary["ignored"] == ["price"]
    log.write_text(LOG + "c,x,bad,2024-05-03,1\n" * 30)
    assert main(arguments) == 2
    refusal = json.loads(capsys.readouterr().out)
    (problem,) = refusal["problems"]
    assert "Lines 5, 6, 7 and 27 others, column 'stars': 'bad' is not a number" in problem
    assert refusal["more"] == 0


def test_convert_writes_a_folder_that_reads_back(log, tmp_path):
    to = tmp_path / "made" / "log"
    items = ["--items", str(log.with_name("items.csv"))]
    arguments = ["data", "convert", str(log), str(to), "--columns", COLUMNS, *items]
    for _ in range(2):
        assert main(arguments) == 0
        assert sorted(path.name for path in to.iterdir()) == ["catalog.parquet", "log.parquet"]
        assert [path.name for path in to.parent.iterdir()] == ["log"]
    assert read_tables(to).log.events["user"].to_list() == ["a", "a", "b"]


def test_convert_looks_at_its_target_first(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    for to, message in (
        (tmp_path, "The folder holds something else than a canonical log (thesis.tex)"),
        (tmp_path / "thesis.tex", "This is a file, and a folder is to be written"),
        (tmp_path / "thesis.tex" / "log", "Nothing may be written into"),
    ):
        assert main(["data", "convert", str(tmp_path / "none.csv"), str(to)]) == 2
        assert message in capsys.readouterr().err


def test_a_path_without_a_reader(tmp_path, capsys, monkeypatch):
    (tmp_path / "log.doc").write_text("user,item\n")
    (tmp_path / "shop.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    (tmp_path / "shop.inter").write_text("user_id:token\titem_id:token\n")
    alone = plugins.discover([])
    monkeypatch.setattr(plugins, "installed", lambda: alone)
    assert main(["data", "check", "sqlite://me:s3cret@host/shop#orders"]) == 2
    assert "sqlite://me:***@host/shop#orders: No installed" in capsys.readouterr().err
    for path, message in (
        (tmp_path / "log.doc", "No installed reader recognises it."),
        (tmp_path / "shop.inter", "such as lightrec-formats for databases and RecBole's files"),
        (tmp_path / "shop.db", "is a SQLite database, not plain text; name one of its tables"),
    ):
        assert main(["data", "check", str(path)]) == 2
        assert message in capsys.readouterr().err


class LoansReader(Reader):
    name = "loans"
    recognises = classmethod(lambda cls, path: path.suffix == ".loans")

    def read_log(self, path, columns=None):
        return InteractionLog(pl.read_csv(path))


class Library(Domain):
    name, repeats = "library", True


def test_a_log_is_held_to_the_domain_and_the_goal_of_its_readers_package(
    tmp_path, lightrec_plugins, capsys
):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "set.yaml").write_text("over: generic\n")
    (tmp_path / "library" / "data.yaml").write_text("goal: [view]\ndomain: library\n")
    lightrec_plugins.add(
        "library",
        f"""from lightrec.api import gives
lightrec_domains = gives({{"library": "{__name__}:Library"}})
lightrec_readers = gives({{"LoansReader": "{__name__}:LoansReader"}})
lightrec_recipes = gives([{str(tmp_path)!r}])
""",
    )
    rows = [(f"u{n // 2}", f"i{n}", "view", n) for n in range(50)]
    rows += [(user, item, "loan", time + 99) for user, item, _, time in rows[:20]]
    log, users = tmp_path / "a.loans", tmp_path / "users.csv"
    pl.DataFrame(rows, ["user", "item", "feedback", "time"], orient="row").write_csv(log)
    users.write_text("user,age\nann,20\nu1,30\n")
    check = ["data", "check", str(log), "--users", str(users)]
    by_reader = r"\ndomain +library, the domain of its reader's package; --domain names another\n"
    generic = r"\ndomain +generic\n(.*\n)+goal +none; give --goal loan (.*\n)+.*repeats of a user"
    for more, said in (([], by_reader), (["--domain", "generic"], generic)):
        assert main([*check, *more]) == 0
        shown = capsys.readouterr().out
        assert re.search(said, shown)
        assert re.search(r"\n +24  users without a row in the user table", shown)
        assert ("--goal" in shown, "repeats" in shown) == (bool(more), bool(more))
