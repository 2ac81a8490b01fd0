"""A shop's days: lists, the service, feedback, what was served, an update, and the way back.

It takes longer than others, since each update trains.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lightrec.__main__ import main
from lightrec.run import Run
from lightrec.testing import tiny
from tests.shops import Shop

pytest.importorskip("fastapi", reason="the service is not installed")

DAYS = 2
KINDS = ("view", "basket", "order")
COLUMNS = {"user": "customer", "item": "sku", "feedback": "event"}
ROWS = re.compile(r"^(.*): of ([\d,]+) rows (.*)\.$", re.MULTILINE)


def visit(run: Path, customers: list[str]) -> None:
    """Let customers see a slate at the service, and look at, put aside and order what it shows."""
    from lightrec_serve.app import application
    from lightrec_serve.run_engine import RunEngine
    from lightrec_serve.service import Arm, Service
    from lightrec_serve.store import Store
    from starlette.testclient import TestClient

    service = Service([Arm("shop", lambda: RunEngine(run))], Store(f"sqlite:///{run}/served.db"))
    with TestClient(application(service)) as http:
        before: list[dict[str, Any]] = http.get("/numbers").json()
        for customer in customers:
            slate = http.post("/recommend", json={"user": customer, "k": 5}).json()
            shown = [place["item"] for place in slate["items"]]
            assert len(shown) == 5
            told = {"session": slate["session"], "answer": slate["answer"]}
            events = [
                {"id": kind, "item": item, "kind": kind} | told
                for kind, item in zip(KINDS, shown, strict=False)
            ]
            assert http.post("/feedback", json={"events": events}).json()["stored"] == len(KINDS)
            again = http.post("/recommend", json={"session": slate["session"], "k": 100}).json()
            left = [place["item"] for place in again["items"]]
            # Only what was ordered is had: the goal says so, as in training.
            assert [item in left for item in shown[: len(KINDS)]] == [True, True, False]
        service.store.flush()
        (now,) = http.get("/numbers").json()
        old = before[0] if before else {"accepted": 0, "feedback": {}}
        assert now["accepted"] - old["accepted"] == len(customers)
        for kind in KINDS:
            assert now["feedback"][kind] - old["feedback"].get(kind, 0) == len(customers)


def accounted(said: str) -> dict[str, dict[str, int]]:
    """Read what an update says of each file, whose rows are all told of."""
    found = {}
    for name, rows, parts in ROWS.findall(said):
        counts = re.findall(r"([\d,]+) (are new|are changed|are known|come in|are [^,]+)", parts)
        found[Path(name).name] = {words: int(count) for count, words in counts}
        assert sum(found[Path(name).name].values()) == int(rows.replace(",", "")), said
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop's tables, and a run over all but its last days, items and customers."""
    folder = tmp_path_factory.mktemp("shop")
    made = Shop("category", seed=1, customers=50, items=40, visits=6)
    files = {name: pl.read_csv(path) for name, path in made.write(folder / "all").items()}
    log = files["log"].with_columns(pl.col("time").str.to_datetime())
    end = log["time"].max() - timedelta(days=10 * DAYS)
    late = {"items": [f"i{n}" for n in range(36, 40)], "users": ["c48", "c49"]}
    first = log.filter(
        pl.col("time") < end,
        ~pl.col("sku").is_in(late["items"]),
        ~pl.col("customer").is_in(late["users"]),
    )
    first.write_csv(folder / "log.csv")
    items = files["items"].filter(~pl.col("sku").is_in(late["items"]))
    users = files["users"].filter(~pl.col("customer").is_in(late["users"]))
    items.write_csv(folder / "items.csv")
    users.write_csv(folder / "users.csv")
    words = [f"--{name}={folder / name}.csv" for name in ("log", "items", "users")]
    columns = "{" + ", ".join(f"{name}: {own}" for name, own in COLUMNS.items()) + "}"
    words += ["--goal", "order", "--until", "ranker", f"--data.columns={columns}"]
    words += [f"--ranker.{word.removeprefix('--')}" for word in tiny.FAST["ranker"]]
    run = folder / "run"
    assert main(["run", "generic", *words, "--out", str(run)]) == 0
    for day in range(DAYS):
        begin = end + timedelta(days=10 * day)
        within = pl.col("time").is_between(begin, begin + timedelta(days=10))
        today = log.filter(within, ~pl.col("sku").is_in(late["items"][day + 1 :]))
        seen = {"customer": "c48", "sku": late["items"][day], "event": "view", "price": None}
        more = pl.DataFrame({**seen, "time": begin}, schema=log.schema)
        (folder / f"day-{day}").mkdir()
        pl.concat([today, more]).write_csv(folder / f"day-{day}" / "log.csv")
        for name, key in (("items", "sku"), ("users", "customer")):
            new = files[name].filter(pl.col(key).is_in(late[name][day::DAYS]))
            new.write_csv(folder / f"day-{day}" / f"{name}.csv")
    return folder, run, files


def test_days_go_by_with_service_feedback_updates_and_a_way_back(shop, capsys):
    folder, run, files = shop
    for day in range(DAYS):
        new = Run(run).data.user_ids.head(2).to_list()
        visit(run, [*new, "c48", "a stranger"])
        assert main(["served", str(run / "served.db"), str(folder / f"served-{day}")]) == 0
        today = folder / f"day-{day}"
        logs = [str(today / "log.csv"), str(folder / f"served-{day}" / "log")]
        tables = [f"--{name}={today / name}.csv" for name in ("items", "users")]
        capsys.readouterr()
        assert main(["update", str(run), "--log", *logs, *tables]) == 0
        said = capsys.readouterr()
        assert f"Version {day + 2} of {run} answers now." in said.out
        told = accounted(said.err)
        assert told["items.csv"] == {"are new": 2}
        assert told["users.csv"] == {"are new": 1}
        assert told["log"].get("are known", 0) == 12 * day
        assert set(told) == {"log.csv", "log", "items.csv", "users.csv"}
        items = Run(run).data.catalog["item"].to_list()
        assert {f"i{36 + day}", f"i{36 + day + DAYS}"} <= {*items}
        # The same again is nothing new, and it is said of each file why.
        assert main(["update", str(run), "--log", *logs, *tables]) == 0
        said = capsys.readouterr()
        assert "There is nothing new" in said.out
        assert said.err.count("it was taken in before") == 4
        out = folder / "lists.csv"
        assert main(["recommend", str(run), "--all", "-k", "5", "--out", str(out)]) == 0
        lists = pl.read_csv(out)
        everybody = {*Run(run).data.user_ids, "c48", "a stranger", *files["users"]["customer"][:48]}
        assert everybody <= {*lists["user"]}
        assert {*lists["ranked_by"]} <= {"history", "attributes", "popularity"}
        assert lists.group_by("user").len()["len"].min() == 5
    assert (
        main(["update", str(run), f"--items={today / 'items.csv'}", "--data.new_items=true"]) == 0
    )
    assert Run(run).data.meta["settings"]["new_items"] is True
    shown = str(folder / f"served-{DAYS - 1}" / "shown")
    assert main(["estimate", str(run), shown]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    assert capsys.readouterr().out.startswith("validation events")
    assert main(["runs", "rollback", str(run)]) == 0
    assert Run(run).version == DAYS + 1
