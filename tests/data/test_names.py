"""Names as people write them find the item that they mean, or ask."""

import os
import re
from pathlib import Path

import polars as pl
import pytest

from lightrec.data.names import Names
from lightrec.errors import RecipeError, no_such

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


@pytest.fixture(scope="module")
def films() -> Names:
    table = pl.DataFrame(FILMS, ["item", "title", "year"], orient="row")
    return Names(table, list(range(len(FILMS))), " Rare ones are left out.")


@pytest.mark.parametrize(
    ("name", "item", "said"),
    [
        ("the rock", "2", ""),
        ("Rock", "2", ""),
        ("toy story 1995", "1", ""),
        ("Star Wars (1977)", "10", ""),
        ("The Godfather: part II", "4", ""),
        ("sabrina 1954", "5", ""),
        ("les miserables", "8", ""),
        ("Die Blechtrommel", "9", ""),
        ("avventura", "11", ""),
        ("Cats and Dogs", "15", ""),
        (
            "3",
            "3",
            "'3' is taken as the id of Godfather, The (1972). It is also the title of 3 (1999), "
            "id 18: give that id where it is meant.\n",
        ),
        ("???", "17", ""),
        ("Toy Stroy", "1", "'Toy Stroy' is taken as Toy Story (1995).\n"),
        ("Thee Godfather", "3", "'Thee Godfather' is taken as Godfather, The (1972).\n"),
        ("2001", "12", "'2001' is taken as 2001: A Space Odyssey (1968).\n"),
    ],
)
def test_found(
    films: Names, name: str, item: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert films.ids[films.find(name)] == item
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Sabrina", "fits several items: Sabrina (1995), id 6; Sabrina (1954), id 5. Give the id"),
        ("Sabrina (1960)", "no item 'Sabrina (1960)'. Did you mean Sabrina (1995), id 6; Sab"),
        ("Rocky IV", "There is no item 'Rocky IV'. Did you mean Rocky II"),
        ("Rocky", "'Rocky' fits several items: Rocky III (1982), id 14; Rocky II (1979), id 13."),
        ("Backbuch Elbe", "Did you mean Das große Backbuch an der Elbe (1998), id 19?"),
        ("xyzzy", "There is no item 'xyzzy'. Rare ones are left out."),
        ("", "There is no item ''."),
    ],
)
def test_asked(films: Names, name: str, told: str) -> None:
    with pytest.raises(RecipeError) as raised:
        films.find(name)
    assert told in str(raised.value)


def test_a_misspelt_word_has_the_nearest_named() -> None:
    said = no_such("a value of 'genres'", "comdy", ["Drama", "Comedy"])
    assert said == "'comdy' is not a value of 'genres'. Did you mean 'Comedy'?"
    assert no_such("a kind", "x", "abc") == "'x' is not a kind. There are a, b, c."


@pytest.mark.slow
def test_all_titles_of_movielens(capsys: pytest.CaptureFixture[str]) -> None:
    data = os.environ.get("LIGHTREC_TEST_DATA")
    if not data:
        pytest.skip("LIGHTREC_TEST_DATA is not set")
    path = Path(data) / "ml-100k" / "ml-100k.item"
    table = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    films = table.select(
        item="item_id:token", title="movie_title:token_seq", year="release_year:token"
    )
    known = Names(films)
    plain = films["title"].str.to_lowercase().str.replace(r"^(.*), (the|an?)$", "${2} ${1}")
    once, bare = ~plain.is_duplicated(), plain.str.replace("^(the|an?) ", "")
    tried, rows = 0, films.select("item", "title", "year").iter_rows()
    for row, (item, title, year) in enumerate(rows):
        asked = [item] if (plain != item).all() else []
        # A title may be another film's id, and an id counts first.
        if once[row] and title not in known.ids:
            moved = re.sub(r"^(.*), (The|An?)$", r"\2 \1", title)
            asked += [title, moved.lower()]
            asked += [f"{moved} ({year})"] if year.isdigit() else []
        if (bare == bare[row]).sum() == 1 and bare[row] not in known.ids:
            asked += [bare[row]]
        for name in asked if row % 12 == 0 else asked[:2]:
            assert known.find(name) == row, name
            tried += 1
    assert tried > 3500
    assert capsys.readouterr().err == ""
