"""Appending to tables: what is known counts once, types stay, the order of time decides."""

from functools import partial

import polars as pl
import pytest
from lightrec_update.append import NothingNew, account, append, more

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables, read_tables
from lightrec.data.readers.canonical import write_folder
from tests.users.stores import prepared


def log(*rows):
    return InteractionLog(pl.DataFrame(rows, ["user", "item", "time"], orient="row"))


def untimed(*pairs, **more):
    rows = [tuple(pair) for pair in pairs]
    return InteractionLog(pl.DataFrame(rows, ["user", "item"], orient="row").with_columns(**more))


ROWS = [(u, i, 1_700_000_000 + 100 * n) for n, (u, i) in enumerate(["aw", "ax", "by", "bw", "az"])]
FILMS = {"item": ["w", "x"], "title": ["Woe", "Xi"], "price": [1.5, 2], "tags": ["a|b", "b|c"]}


def test_appended_in_pieces_a_log_is_prepared_as_if_it_had_come_whole(tmp_path):
    # An event older than the last one, a known one and an item that nobody had.
    first, late = [ROWS[0], *ROWS[2:4]], [ROWS[4], ROWS[1], ROWS[3]]
    pieces = append(Tables(log(*first)), [log(*late)])
    one, other = prepared(pieces.log, tmp_path / "one"), prepared(log(*ROWS), tmp_path / "other")
    assert one.catalog.equals(other.catalog)
    assert one.items.tolist() == other.items.tolist()
    assert one.times.tolist() == other.times.tolist()
    assert len(pieces.log) == 5


PLAYS = ["aw", "ax", "by", "aw", "az"]


@pytest.mark.parametrize(
    ("pairs", "added", "equal", "ending"),
    [
        (PLAYS, 0, 5, "are taken to be the same"),
        (["by", "ax", "aw"], 0, 3, "are taken to be the same"),
        (PLAYS[::-1], 0, 5, "are taken to be the same"),
        ([*PLAYS, "aw", "cw"], 2, 5, "are taken to be the same"),  # a later export of the whole
        (["aw", "cw", "az", "ax"], 4, 3, "count again"),
        (["cw", "cw"], 2, 0, ""),
    ],
    ids=str,
)
def test_without_times_what_a_log_has_in_common_with_the_runs_is_counted_once_or_told(
    pairs, added, equal, ending, capsys
):
    whole = append(Tables(untimed(*PLAYS)), [untimed(*pairs), untimed("zz")]).log
    assert len(whole) == len(PLAYS) + 1 + added
    said = f"{equal} of its {len(pairs)} events are equal to events of the run's log, and {ending}"
    assert (said in capsys.readouterr().err) == (equal > 0)
    with pytest.raises(NothingNew):
        append(Tables(whole), [untimed("zz"), untimed(*pairs[::-1])])
    # Rows of another value are other events, whatever their user and item.
    valued = append(Tables(whole), [untimed("zz", value=pl.lit(2.0))]).log
    assert len(valued) == len(whole) + 1


def test_items_are_added_and_changed_and_columns_keep_their_kinds():
    before = Tables(log(*ROWS), Catalog(pl.DataFrame(FILMS)))
    # By itself `tags` would be a category, and `price` is whole.
    new = {"item": ["y", "x"], "title": ["Why", None], "price": [3, 4], "tags": ["c", None]}
    table = append(before, [], Catalog(pl.DataFrame({**new, "year": [1990, 1991]}))).catalog
    assert table.rows.drop("text").rows() == [
        ("w", "Woe", 1.5, ["a", "b"], None),
        ("x", "Xi", 4.0, ["b", "c"], 1991),
        ("y", "Why", 3.0, ["c"], 1990),
    ]
    assert table.kinds == {"price": "number", "tags": "list", "year": "number"}


def test_a_row_that_gives_some_values_of_a_user_keeps_the_others():
    people = {"user": ["a", "b"], "age": [30, 40], "member": [True, False], "tags": ["x|y", "y|z"]}
    before = Tables(log(*ROWS), users=Users(pl.DataFrame(people)))
    new = {"user": ["b", "c"], "age": [None, 20], "tags": [["v"], []]}
    table = append(before, [], None, Users(pl.DataFrame(new))).users
    assert table.rows.rows() == [
        ("a", 30, True, ["x", "y"]),
        ("b", 40, False, ["v"]),
        ("c", 20, None, []),
    ]
    emptied = Users(pl.DataFrame({"user": ["a"], "tags": [[]]}, {"user": str, "tags": list[str]}))
    assert append(before, [], None, emptied).users.rows.row(0) == ("a", 30, True, [])


@pytest.mark.parametrize("form", ["file", "days", "folder"])
def test_a_log_that_lightrec_wrote_is_read_whatever_the_runs_columns_were_called(tmp_path, form):
    written, path = log(*ROWS), tmp_path / "log"
    if form == "folder":
        write_folder(Tables(written), path)
    else:
        path = path / "2026-11-27.parquet"
        path.parent.mkdir()
        written.write_parquet(path)
    columns = {"user": "customer", "item": "sku", "time": "when", "value": "none"}
    read = partial(read_tables, columns=columns, reader="TableReader", times="seconds")
    [read_log] = more({"log-1": path if form == "file" else tmp_path / "log"}, read)[0].values()
    assert read_log.events.equals(written.events)


def test_what_became_of_each_row_that_was_given_is_counted(tmp_path):
    films = {"item": [*"wxyz"], "title": ["Woe", "Xi", "Why", "Zen"]}
    before = Tables(log(*ROWS), Catalog(pl.DataFrame(films)))
    late = [("a", "v", 1_800_000_000), ("b", "x", 1_800_000_100), ("b", "x", 1_800_000_100)]
    logs = {"log-1": log(*ROWS[:2], *late, ("new", "w", 1_800_000_200)), "log-2": None}
    more_films = {"item": ["v", "w", "u", "x"], "title": ["Vow", "Woe!", "Urn", "Xi"]}
    catalog = Catalog(pl.DataFrame(more_films))
    tables = append(before, [logs["log-1"]], catalog)
    counts_of = account(before, tables, logs, catalog, None)
    assert counts_of["log-2"] == {"rows": 0, "new": 0, "known": 0}
    assert counts_of["items"] == {"rows": 4, "added": 2, "changed": 1, "known": 1}
    named = {"catalog": tables.catalog, "also": pl.Series(["v", "w", "nothing"])}
    store = prepared(tables.log, tmp_path / "store", k_core=2, appended=counts_of, **named)
    counts = store.meta["appended"]["log-1"]
    assert {name: count for name, count in counts.items() if count} == {
        "rows": 6,
        "new": 4,
        "known": 2,
        "events": 1,
        "dropped_duplicate": 1,
        "dropped_k_core": 2,
    }
    # An item that was only viewed is an item; one that is not named does not come in.
    assert store.catalog["item"].to_list() == ["w", "x", "v"]
    assert store.popularity()[3] == 0


def test_the_tables_of_several_logs_are_joined_and_what_they_contradict_is_told(tmp_path, capsys):
    sources = {}
    for n, (titles, ages) in enumerate([((None, "Xi"), (30, 41)), (("Yes", "Zed"), (30, 42))], 1):
        log = InteractionLog(pl.DataFrame({"user": [f"u{n}"], "item": [f"i{n}"]}))
        items = {"item": [f"i{n}", "i3"], "title": titles, "price": [n, n], "tags": ["a|b", "c|d"]}
        users = {"user": ["u0", "u9"], "age": ages, f"only_{n}": [n, n]}
        sources[f"log-{n}"] = folder = tmp_path / f"log {n}"
        write_folder(Tables(log, Catalog(pl.DataFrame(items)), Users(pl.DataFrame(users))), folder)
    logs, items, users = more(sources, partial(read_tables))
    assert [len(log or ()) for log in logs.values()] == [1, 1]
    assert items.rows.select("item", "title", "price").sort("item").rows() == [
        ("i1", None, 1),
        ("i2", "Yes", 2),
        ("i3", "Zed", 2),
    ]
    assert users.rows.rows() == [("u0", 30, 1, 2), ("u9", 42, 1, 2)]
    error = capsys.readouterr().err
    assert (
        f"{sources['log-2'] / 'catalog.parquet'} says otherwise of 1 item (title, price) than the "
        "tables before it, and counts."
    ) in error
    assert "says otherwise of 1 user (age) than" in error
