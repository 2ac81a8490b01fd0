"""What people write of items: filters, against a plain evaluation in Python, and names."""

import operator

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.data.filters import as_number, as_value, looks_like_one, parse
from lightrec.data.names import Names
from lightrec.errors import RecipeError

KINDS = {"genres": "list", "paths": "list", "released": "date"}
KINDS |= dict.fromkeys(("brand", "path", "slashed", "bands"), "category")
KINDS |= dict.fromkeys(("year", "price", "score", "new_one"), "number")
MOMENTS = ["1995-05-01 00:00", "1996-01-01 10:30", "1994-01-01 00:00", None, "2000-01-01 00:00"]
PATHS = ["Books", "Books > Crime", "Books > Crime > Nordic", "Bookshelves", None, "Toys>Trains"]
ITEMS = pl.DataFrame(
    {
        "item": list("abcdef"),
        "title": ["Toy Story", "Fargo (x)", "Il, P", "A=B", "not here", None],
        "genres": [["Comedy", "Kids"], ["Crime", "Horror"], ["Comedy"], None, [], None],
        "year": [1995, 1996, 1994, None, 1980, None],
        "price": [3.5, 50.0, 12.5, None, 0.0, None],
        "score": [5.0, float("nan"), None, None, None, None],
        "brand": ["Estee Lauder", "Johnson and Johnson", "ACME", None, "Kid's", None],
        "released": pl.Series([*MOMENTS, None]).str.to_datetime(),
        "new_one": [True, False, False, None, True, None],
        "path": PATHS,
        "paths": [[path] if path else None for path in PATHS],
        "slashed": ["Toys", "Books/Crime", "Books/Crime/Blue", "Toys/Big", "Toys/Big/Red", None],
        "bands": ["AC", "AC/DC", "Abba", "Blur", "Can", "Devo"],
    }
)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("genres=comedy and year>=1995 and price<50", "a"),
        ("genres!=Comedy", "b"),
        ("(year=1995 or year=1996) and price<50", "a"),
        ("genres in (comedy, Crime)", "abc"),
        ("title=\"Toy Story\" or title='A=B'", "ad"),
        ("title=Fargo (x) or TITLE = il, p", "bc"),
        ("title=not here", "e"),
        ("brand in (johnson and johnson, Kid's)", "be"),
        ("price<€ 12,60 and not price=0", "ac"),
        ("released=1996", "b"),
        ("released=<1995-05 and released>=1994-01-01", "ac"),
        ("new one=yes", "ae"),
        ("new_one!=true", "bc"),
        ("price=missing", "df"),
        # What is no number is missing.
        ("score>1", "a"),
        ("score!=7", "a"),
        ("score=missing", "bcdef"),
        # A path is below its beginnings.
        ("path=Books", "abc"),
        ('path="books > crime"', "bc"),
        ("path in (Toys, Bookshelves)", "df"),
        ("paths=Books", "abc"),
        ("slashed=Books", "bc"),
        ("bands=AC", "a"),
    ],
)
def test_a_filter_means_what_it_says(text, items):
    assert looks_like_one(text)
    condition = parse(text, ITEMS, KINDS)
    assert "".join(ITEMS.filter(condition.mask(ITEMS))["item"]) == items
    assert condition.text in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("genre=Comedy", "'genre' is not an attribute of the items. Did you mean 'genres'?"),
        ("genres=Comedy or Horror", "Each side of 'and' and 'or' needs its genres="),
        ("brand<5", "'brand' holds words, and < compares numbers and dates; use =, != or in."),
        ("price<cheap", "'price' is a number, and 'cheap' is none."),
        ("released=yesterday", "'released' is a date, and 'yesterday' is none"),
        ("new_one=maybe", "'new_one' is true or false, and 'maybe' is neither."),
        ("year<missing", "'year' can be =missing or !=missing, and not <."),
        ("= 5", "an attribute is expected in place of '='."),
        ("(" * 5000 + "year=1995" + ")" * 5000, "more than 50 brackets and 'not' stand within"),
        ("title=A=B", "a value is expected before '='; put it in quotes if it has signs."),
    ],
)
def test_a_filter_that_means_nothing_is_refused(text, sentence):
    with pytest.raises(RecipeError) as raised:
        parse(text, ITEMS, KINDS)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        ("number:€,", "1.299 €", 1299),
        ("number:€,", "EUR 12,60", 12.6),
        ("number:€", "-5 €", -5),
        ("number", "1.299", 1.299),
        ("number:€,", "$5", "its numbers are in €, which '$5' is not."),
        ("number:€", "1.299 €", "'1.299 €' may be 1.299 or 1299; write one of these."),
        ("number", "1,299", "'1,299' may be 1299 or 1.299; write one of these."),
    ],
)
def test_numbers_are_read_as_those_of_the_table(kind, value, read):
    if isinstance(read, str):
        with pytest.raises(RecipeError) as raised:
            as_number("price", value, kind)
        assert str(raised.value) == f"'price' is a number, and {read}"
    else:
        assert as_number("price", value, kind) == read


@pytest.mark.parametrize("text", ["1e30", "-1e30", "2.5", "300"])
def test_a_number_must_fit_its_column(text):
    with pytest.raises(RecipeError, match=r"'age' (is a whole number|has no numbers as far)"):
        as_value(pl.Series("age", [30], pl.Int8), "number", text)


def test_parts_that_all_must_hold_and_long_conditions_stay_flat():
    text = "genres=Comedy and (year>=1996 or price<5) and brand=Estee Lauder"
    parts = [part.text for part in parse(text, ITEMS, KINDS).parts]
    assert parts == ["genres=Comedy", "year>=1996 or price<5", "brand=Estee Lauder"]
    assert parse(" or ".join(["year=1995"] * 5000), ITEMS, KINDS).mask(ITEMS).any()


SIGNS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
         ">": operator.gt, ">=": operator.ge}  # fmt: skip
numbers = st.tuples(
    st.sampled_from(["year", "price"]), st.sampled_from([*SIGNS]), st.sampled_from([0, 12.5, 1995])
)
texts = st.tuples(
    st.sampled_from(["brand", "genres"]), st.sampled_from(["=", "!="]), st.integers(0, 3)
)
conditions = st.recursive(
    numbers | texts,
    lambda inner: (
        st.tuples(st.just("not"), inner)
        | st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
)


def words(name, number):
    return ITEMS[name].explode().drop_nulls().unique().sort()[number]


def written(tree):
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    if tree[0] in ("and", "or"):
        return f" {tree[0]} ".join(f"({written(each)})" for each in tree[1])
    name, sign, value = tree
    return f"{name}{sign}{words(name, value).swapcase() if name in ('brand', 'genres') else value}"


def holds(tree, row):
    if tree[0] == "not":
        return not holds(tree[1], row)
    if tree[0] in ("and", "or"):
        return (all if tree[0] == "and" else any)(holds(each, row) for each in tree[1])
    name, sign, value = tree
    if row[name] in (None, []):
        return False
    if name == "genres":
        return (words(name, value) in row[name]) == (sign == "=")
    return bool(SIGNS[sign](row[name], words(name, value) if name == "brand" else value))


@given(conditions)
@settings(max_examples=60)
def test_any_condition_means_what_python_says(tree):
    mask = parse(written(tree), ITEMS, KINDS).mask(ITEMS)
    assert mask.to_list() == [holds(tree, row) for row in ITEMS.to_dicts()]


def test_a_profile_has_the_value_itself_or_members_of_a_list_between_the_marks_of_files():
    assert as_value(pl.Series("path", PATHS[::-1]), "category", "books") == "Books"
    skills = pl.Series("skills", [["first aid", "welding"], ["Cooking, baking"], None])
    for text, members in (
        ("welding|first aid", ["welding", "first aid"]),
        ("First Aid; welding;", ["first aid", "welding"]),
        ("cooking, baking", ["Cooking, baking"]),
        (["welding"], ["welding"]),
    ):
        assert as_value(skills, "list", text) == members
    with pytest.raises(RecipeError, match=r"'weldin' is not a value of 'skills'.*welding"):
        as_value(skills, "list", "first aid|weldin")


FILMS = [
    ("1", "Toy Story", 1995),
    ("2", "Rock, The", 1996),
    ("3", "Godfather, The", 1972),
    ("4", "Godfather: Part II, The", 1974),
    ("5", "Sabrina", 1954),
    ("6", "Sabrina", 1995),
    ("7", "Die Hard", 1988),
    ("8", "Misérables, Les", 1995),
    ("9", "Tin Drum, The (Blechtrommel, Die)", 1979),
    ("10", "Star Wars", 1977),
    ("11", "L'Avventura", 1960),
    ("12", "2001: A Space Odyssey", 1968),
    ("13", "Rocky II", 1979),
    ("14", "Rocky III", 1982),
    ("15", "Cats & Dogs", 2001),
    ("16", None, None),
    ("17", "???", None),
    ("18", "3", 1999),
    ("19", "Das große Backbuch an der Elbe", 1998),
    ("20", "Suppen an der Elbe", 1999),
    ("21", "Das große Backbuch am Meer", 2001),
]
TABLE = pl.DataFrame(FILMS, ["item", "title", "year"], orient="row")
NAMES = Names(TABLE, list(range(len(FILMS))), " Rare ones are left out.")


@pytest.mark.parametrize(
    ("name", "item", "note"),
    [
        ("the rock", "2", ""),
        ("toy story 1995", "1", ""),
        ("Star Wars (1977)", "10", ""),
        ("les miserables", "8", ""),
        ("Die Blechtrommel", "9", ""),
        ("Cats and Dogs", "15", ""),
        (
            "3",
            "3",
            "'3' is taken as the id of Godfather, The (1972). It is also the title of 3 (1999), "
            "id 18: give that id where it is meant.\n",
        ),
        ("Toy Stroy", "1", "'Toy Stroy' is taken as Toy Story (1995).\n"),
        ("2001", "12", "'2001' is taken as 2001: A Space Odyssey (1968).\n"),
    ],
)
def test_a_name_finds_its_item(name, item, note, capsys):
    assert NAMES.ids[NAMES.number(name) - 1] == item
    assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Sabrina", "fits several items: Sabrina (1995), id 6; Sabrina (1954), id 5. Give the id"),
        ("Sabrina (1960)", "no item 'Sabrina (1960)'. Did you mean Sabrina (1995), id 6; Sab"),
        ("Rocky IV", "There is no item 'Rocky IV'. Did you mean Rocky II"),
        ("Backbuch Elbe", "Did you mean Das große Backbuch an der Elbe (1998), id 19?"),
        ("xyzzy", "There is no item 'xyzzy'. Rare ones are left out."),
        ("", "There is no item ''."),
    ],
)
def test_a_name_of_no_single_item_is_refused(name, sentence):
    with pytest.raises(RecipeError) as raised:
        NAMES.number(name)
    assert sentence in str(raised.value)
