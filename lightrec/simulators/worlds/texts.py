"""Words for the films of a world: titles and texts that say what an item is.

What a text encoder may know of an item stands in them, and no more: users' laws do not.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.catalog import Catalog
from lightrec.keys import Column


def catalog_of(name: str, words: Iterable[tuple[str, str]]) -> Catalog:
    """Name items by their numbers; the words are titles and texts."""
    rows = [(name.format(number), *pair) for number, pair in enumerate(words, start=1)]
    return Catalog(
        pl.DataFrame(rows, schema=[Column.ITEM, Column.TITLE, Column.TEXT], orient="row")
    )


def grades(values: NDArray[np.float32], among: NDArray[np.float32] | None = None) -> list[int]:
    """Grade values 0 to 4 by the fifths of all, or of those ``among`` which they stand."""
    bounds = np.quantile(values if among is None else among, [0.2, 0.4, 0.6, 0.8])
    return np.searchsorted(bounds, values).tolist()


CATEGORIES = (
    ("western", "cowboys, dust and a frontier town"),
    ("space opera", "starships, empires and distant planets"),
    ("cooking show", "chefs, kitchens and recipes"),
    ("murder mystery", "a detective, a body and too many suspects"),
    ("romantic comedy", "two strangers who fall in love by mistake"),
    ("nature documentary", "wild animals, forests and oceans"),
    ("war drama", "soldiers, trenches and letters home"),
    ("concert film", "a band, its songs and its crowd"),
    ("football story", "a team, a coach and the last match of the season"),
    ("haunted house", "ghosts, cellars and doors that close by themselves"),
    ("courtroom drama", "lawyers, a judge and a doubtful witness"),
    ("heist", "thieves, a vault and a plan that fails"),
    ("fairy tale", "dragons, princesses and an enchanted forest"),
    ("travel diary", "trains, foreign cities and street markets"),
    ("political satire", "ministers, scandals and elections"),
    ("martial arts", "masters, temples and revenge"),
    ("medical series", "surgeons, nurses and emergencies"),
    ("ballet", "dancers, theatres and ambition"),
    ("cartoon", "talking animals and slapstick for children"),
    ("spy thriller", "double agents, embassies and stolen papers"),
)
"""Name and subject of each of the 20 categories."""

_TRAITS = (
    ("slow", "fast"), ("dark", "bright"), ("quiet", "loud"), ("old", "modern"),
    ("rural", "urban"), ("sad", "cheerful"), ("gentle", "violent"), ("simple", "intricate"),
    ("realistic", "dreamlike"), ("short", "epic"), ("cold", "warm"), ("serious", "ironic"),
    ("lonely", "crowded"), ("poor", "glamorous"), ("northern", "southern"), ("winter", "summer"),
)  # fmt: skip
_NOUNS = (
    "Harbour", "River", "Letter", "Garden", "Mirror", "Night", "Road", "Stranger",
    "Island", "Promise", "Bridge", "Winter", "Window", "Song", "Station", "Shadow",
)  # fmt: skip
_PRAISE = ("poorly made", "uneven", "decent", "very good", "a masterpiece")


def describe_films(
    vectors: NDArray[np.float32], quality: NDArray[np.float32], category: NDArray[np.int64]
) -> Catalog:
    """Put films into words, named ``item-0001`` and so on.

    :param vectors: (N, 16), of which the three strongest coordinates are named.
    :param quality: (N,), turned into five grades.
    :param category: (N,) 0 to 19.
    """
    strongest = np.argsort(-np.abs(vectors), axis=1, kind="stable")[:, :3]
    words = []
    for row, grade in enumerate(grades(quality)):
        traits = [_TRAITS[axis][int(vectors[row, axis] > 0)] for axis in strongest[row]]
        name, subject = CATEGORIES[category[row]]
        title = f"The {traits[0].capitalize()} {_NOUNS[row % len(_NOUNS)]} {row + 1}"
        words.append((title, f"{name}: {subject}. {', '.join(traits)}. {_PRAISE[grade]}."))
    return catalog_of("item-{:04d}", words)
