"""A shop's standing rules: what they do to scores, how they are read, and what they refuse."""

import json
from collections import Counter

import polars as pl
import pytest
import torch
from lightrec_rules.rules import FILE, RuleBook
from lightrec_testing import parametrize_checks, plugin_checks

from lightrec.errors import RecipeError

TABLE = {"item": list("abcdef"), "title": ["Anvil", "Bell", "Cup", "Dart", "Egg", "Fan"]}
TABLE["kind"] = ["tool", "tool", "home", "home", "home", None]
TABLE["tags"] = [["x"], ["x", "y"], ["y"], [], None, ["z"]]
TABLE |= {"stock": [3, 0, 5, 1, None, 2], "margin": [0.1, 0.9, 0.3, None, 0.8, 0.2]}
ITEMS = pl.DataFrame(TABLE)
KINDS = {"kind": "category", "tags": "list", "stock": "number", "margin": "number"}
USERS = pl.DataFrame({"user": ["u", "v"], "country": ["DE", "FR"]})
SCORES = torch.tensor([[-torch.inf, 6.0, 5.5, 5.0, 4.99, 4.98, 1.0]]).expand(2, -1)


def book(folder, text):
    (folder / FILE).write_text(text)
    find = lambda name: ITEMS["item"].to_list().index(name) + 1  # noqa: E731
    return RuleBook(folder, find, (USERS, {"user": "code", "country": "category"}))


def lists(folder, text, length=4, **more):
    rules = book(folder, text).of(ITEMS, KINDS)
    scores = (SCORES + rules.boost).masked_fill(~rules.there, -torch.inf)
    items, chances = rules.fill(scores, length, USERS, **more)
    assert (chances == 1).all()
    return ["".join(" abcdef"[i] for i in row).rstrip() for row in items.tolist()]


@parametrize_checks(plugin_checks("lightrec-rules"))
def test_contract(check):
    check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcd"),
        ("in_stock: stock>0", "acdf"),
        ("boosts: [{where: kind=home, times: 20}]", "cdea"),
        ("boosts: [{where: kind=home, times: 20}, {where: stock=missing, times: 2}]", "ecda"),
        ("boosts: [{where: item=a, times: 0.001}]", "bcde"),
        ("pins: [{item: f, place: 2}]", "afbc"),
        ("pins: [{item: a, place: 3}, {item: e, place: 9}]", "bcad"),
        ("{pins: [{item: b, place: 1}], in_stock: stock>0}", "acdf"),
        ("at_most: [{per: kind, places: 1}]", "acf"),
        ("at_most: [{per: tags, places: 1}]", "acde"),  # b has x, too
        ("{at_most: [{per: kind, places: 1}], pins: [{item: b, place: 4}]}", "cfb"),
        ("tie_break: {by: margin, within: 0.05}", "abec"),
        ("pins: [{item: f, place: 1, people: country=DE}]", "fabc abcd"),
        ("pins: [{item: f, place: 1, people: user=v}]", "abcd fabc"),
    ],
)
def test_each_rule_does_what_it_says_for_two_people(tmp_path, text, expected):
    assert lists(tmp_path, text) == (2 * expected.split())[:2]


def test_what_alone_may_come_may_be_for_some_people(tmp_path):
    only = "only: [{where: kind=home, people: country=DE}, {where: item!=d}]"
    assert lists(tmp_path, only) == ["ce", "abce"]
    pin = "pins: [{item: f, place: 1}, {item: c, place: 2}]"
    assert lists(tmp_path, f"{{{only}, {pin}}}") == ["ec", "fcab"]
    rules = book(tmp_path, f"{{{only}, {pin}}}").of(ITEMS, KINDS)
    may = torch.ones(2, 7, dtype=torch.bool)
    assert rules.pinned(may, 2, USERS).tolist() == [[0, 3], [6, 3]]
    assert rules.account[0] == "kind=home: 3 items may come to country=DE"
    counts = torch.tensor([[-torch.inf, 9.0, 8, 6, -torch.inf, 3, 1]]).expand(2, -1)
    items, _ = rules.varied(counts, torch.eye(7), 3, USERS)
    assert items.tolist() == [[5, 3, 0], [6, 3, 1]]
    with pytest.raises(RecipeError, match="Nobody's attributes are known"):
        RuleBook(tmp_path, int).of(ITEMS, KINDS)


def test_places_for_new_items_keep_to_the_rules(tmp_path):
    fresh = torch.full_like(SCORES, -torch.inf)
    fresh[:, [4, 5]] = torch.tensor([1.0, 2.0])
    mine = torch.tensor([False, False, True, True]).expand(2, -1)
    text = "{at_most: [{per: kind, places: 1}], pins: [{item: f, place: 3, people: country=DE}]}"
    # At the third place stands a pin, at the fourth another of a kind that has had its place.
    assert lists(tmp_path, text, fresh=fresh, mine=mine) == ["acf", "ac"]
    assert lists(tmp_path, "boosts: []", fresh=fresh, mine=mine) == ["abed"] * 2


def test_what_is_drawn_under_rules_has_the_propensities_that_are_told(tmp_path):
    text = "{pins: [{item: f, place: 2}], at_most: [{per: kind, places: 1}]}"
    rules = book(tmp_path, text).of(ITEMS, KINDS)
    draws = 20_000
    scores = torch.tensor([-torch.inf, 1.0, 0.5, 0.8, 0.0, -torch.inf, -3.0]).expand(draws, -1)
    items, chances = rules.fill(scores, 4, generator=torch.Generator().manual_seed(0))
    assert (items[:, 1] == 6).all()
    assert (chances[:, 1] == 1).all()
    # A tool and something for the home come in either order, and nothing at the last place.
    assert {*map(tuple, items[:, 2:].tolist())} == {(1, 0), (2, 0), (3, 0), (4, 0)}
    weights = scores[0].double().exp()
    first = weights[items[:, 0]] / weights[1:5].sum()
    left = torch.where(items[:, 0] > 2, weights[1] + weights[2], weights[3] + weights[4])
    torch.testing.assert_close(chances[:, 0], first, atol=1e-6, rtol=0)
    torch.testing.assert_close(chances[:, 2], weights[items[:, 2]] / left, atol=1e-6, rtol=0)
    logged = dict(zip(map(tuple, items.tolist()), chances.prod(1).tolist(), strict=True))
    assert sum(logged.values()) == pytest.approx(1)
    for slate, count in Counter(map(tuple, items.tolist())).items():
        assert count / draws == pytest.approx(logged[slate], abs=0.012)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("in_stok: stock>0", "Rules has no setting 'in_stok'. Did you mean 'in_stock'?"),
        ("in_stock: stok>0", "'stok' is not an attribute of the items. Did you mean 'stock'"),
        ("boosts: [{where: kind=tol, times: 2}]", "'tol' is not a value of 'kind'. Did .* 'tool'"),
        ("boosts: [{where: kind=tool, times: 0}]", "multiplies by a number above 0, not 0"),
        ("tie_break: {by: margin, within: 5}", "within a share, 0 up to below 1, not 5"),
        ("table: nowhere.csv", "nowhere.csv"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_names_that_there_are(tmp_path, text, said):
    with pytest.raises(RecipeError, match=said):
        book(tmp_path, text).of(ITEMS, KINDS)


def test_a_table_may_call_its_items_as_the_tables_of_the_run_do(tmp_path):
    (tmp_path / "menu.csv").write_text("dish_no,on_menu\na,1\nb,0\nc,1\nz,1\n")
    text = "{table: menu.csv, in_stock: on_menu=1, pins: [{item: c, place: 2, people: country=DE}]"
    with pytest.raises(RecipeError, match=r"as item; .* as item_column\.$") as refused:
        book(tmp_path, text + "}").of(ITEMS, KINDS)
    assert "--item-columns" not in str(refused.value)
    named = book(tmp_path, text + ", item_column: dish_no}").of(ITEMS, KINDS)
    overrides = ['--columns={"user": "card", "item": "dish_no"}', "--seed", "1"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stage.json").write_text(json.dumps({"overrides": overrides}))
    rules = book(tmp_path, text + "}")
    read = rules.of(ITEMS, KINDS)
    for each in (named, read):
        assert each.there.nonzero().flatten().tolist() == [1, 3]
        assert each.account[0] == "menu.csv: 1 of 4 rows name items that are not known here"
    (tmp_path / "menu.csv").write_text("item,on_menu\nb,1\n")
    assert rules.of(ITEMS, KINDS).there.nonzero().flatten().tolist() == [2]


def test_rules_and_their_table_are_read_anew_when_they_change(tmp_path, capsys):
    rules = book(tmp_path, "")
    (tmp_path / FILE).unlink()
    assert rules.of(ITEMS, KINDS) is None
    (tmp_path / "now.csv").write_text("item,stock,margin\na,0,1.5\nb,2,0.5\nz,9,1\n")
    (tmp_path / FILE).write_text("{table: now.csv, in_stock: stock>0}")
    first = rules.of(ITEMS, KINDS)
    assert first.there.nonzero().flatten().tolist() == [2]  # the others are not in the table
    assert rules.of(ITEMS, KINDS) is first
    (tmp_path / "now.csv").write_text("item,stock,margin\na,1,1.5\nb,2,0.5\n")
    second = rules.of(ITEMS, KINDS)
    assert second.there.nonzero().flatten().tolist() == [1, 2]
    assert second.mark != first.mark
    (tmp_path / FILE).write_text("in_stock: price>0")
    assert rules.of(ITEMS, KINDS) is second
    assert "stay as they were" in capsys.readouterr().err
    more = pl.concat([ITEMS, ITEMS[:1].with_columns(item=pl.lit("g"))])
    assert len(rules.of(more, KINDS).there) == 8
    (tmp_path / FILE).unlink()
    assert rules.of(ITEMS, KINDS) is None
