"""Words for the films of a world: titles and texts that say what an item is.

What a text encoder may know of an item stands in them, and no more: users' laws do not.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from lightrec.data.catalog import Catalog
from lightrec.keys import Column

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
CATEGORIES: Final = _WORDS["categories"]
"""Name and subject of each of the 20 categories."""


def catalog_of(name: str, words: Iterable[tuple[str, str]]) -> Catalog:
    """Name items by their numbers; the words are titles and texts."""
    rows = [(name.format(number), *pair) for number, pair in enumerate(words, start=1)]
    return Catalog(
        pl.DataFrame(rows, schema=[Column.ITEM, Column.TITLE, Column.TEXT], orient="row")
    )


def grades(values: NDArray[np.float32]) -> list[int]:
    """Grade values 0 to 4 by the fifths of all."""
    return np.searchsorted(np.quantile(values, [0.2, 0.4, 0.6, 0.8]), values).tolist()


def describe_films(
    vectors: NDArray[np.float32], quality: NDArray[np.float32], category: NDArray[np.int64]
) -> Catalog:
    """Put films into words, named ``item-0001`` and so on.

    :param vectors: (N, 16), of which the three strongest coordinates are named.
    :param quality: (N,), turned into five grades.
    :param category: (N,) 0 to 19.
    """
    strongest = np.argsort(-np.abs(vectors), axis=1, kind="stable")[:, :3]
    words, nouns = [], _WORDS["nouns"]
    for row, grade in enumerate(grades(quality)):
        traits = [_WORDS["traits"][axis][int(vectors[row, axis] > 0)] for axis in strongest[row]]
        name, subject = CATEGORIES[category[row]]
        title = f"The {traits[0].capitalize()} {nouns[row % len(nouns)]} {row + 1}"
        words.append((title, f"{name}: {subject}. {', '.join(traits)}. {_WORDS['praise'][grade]}."))
    return catalog_of("item-{:04d}", words)
