"""Words for the made-up items of the world `far`: a title and a text that say what an item is.

A text names the category, the strongest coordinates and how good people find the item, so that a
text encoder can tell categories apart and a little more; it does not give fatigue or after-effect.
"""

import numpy as np
from numpy.typing import NDArray

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


def describe(
    vectors: NDArray[np.float32], quality: NDArray[np.float32], category: NDArray[np.int64]
) -> tuple[list[str], list[str]]:
    """Put items into words.

    :param vectors: (N, 16) coordinates.
    :param quality: (N,) how much everybody likes an item; turned into five grades.
    :param category: (N,) 0 to 19.
    :returns: N titles and N texts.
    """
    strongest = np.argsort(-np.abs(vectors), axis=1, kind="stable")[:, :3]
    grades = np.searchsorted(np.quantile(quality, [0.2, 0.4, 0.6, 0.8]), quality)
    titles, texts = [], []
    for row in range(len(vectors)):
        words = [_TRAITS[axis][int(vectors[row, axis] > 0)] for axis in strongest[row]]
        noun = _NOUNS[row % len(_NOUNS)]
        name, subject = CATEGORIES[category[row]]
        titles.append(f"The {words[0].capitalize()} {noun} {row + 1}")
        texts.append(f"{name}: {subject}. {', '.join(words)}. {_PRAISE[grades[row]]}.")
    return titles, texts
