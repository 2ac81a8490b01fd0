"""Names as people write them find the item that they mean, or ask."""

import polars as pl
import pytest

from lightrec.data.names import Names
from lightrec.errors import RecipeError

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
def films():
    table = pl.DataFrame(FILMS, ["item", "title", "year"], orient="row")
    return Names(table, list(range(len(FILMS))), " Rare ones are left out.")


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
def test_found(films, name, item, note, capsys):
    assert films.ids[films.number(name) - 1] == item
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
def test_no_single_item(films, name, sentence):
    with pytest.raises(RecipeError) as raised:
        films.number(name)
    assert sentence in str(raised.value)
