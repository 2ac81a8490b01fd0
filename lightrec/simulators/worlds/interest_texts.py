"""Words for the videos of the world of interest evolution: what a video is about, how good it is.

Topics stand in the order of their quality, as the world has them: 14 of trash, 6 that nourish.
"""

import numpy as np
from numpy.typing import NDArray

TOPICS = (
    ("celebrity gossip", "who was seen with whom, and what she wore"),
    ("pranks", "strangers fooled in the street"),
    ("unboxing", "parcels opened, one after another"),
    ("conspiracies", "what they do not want you to know"),
    ("fails", "people who fall off things"),
    ("reality show", "housemates who shout at each other"),
    ("horoscopes", "what the stars say about your week"),
    ("shopping hauls", "bags of clothes bought in one afternoon"),
    ("miracle diets", "ten kilos lost in a fortnight"),
    ("street fights", "quarrels filmed on phones"),
    ("reactions", "faces of people who watch other videos"),
    ("cat clips", "cats, boxes and cucumbers"),
    ("video games", "a player talks while he plays"),
    ("sports highlights", "goals of the weekend"),
    ("cooking", "a dish from the market to the table"),
    ("travel", "trains, cities and the people who live there"),
    ("crafts", "how a chair, a coat or a violin is made"),
    ("nature", "wild animals, forests and oceans"),
    ("history", "archives, witnesses and old maps"),
    ("science lectures", "an experiment and the law behind it"),
)
"""Name and subject of each of the 20 topics."""

_GRADES = ("trash", "a waste of time", "harmless", "worth watching", "enriching")
_KINDS = ("worse than most of its kind", "like most of its kind", "better than most of its kind")
_NOUNS = (
    "Monday", "Kitchen", "Secret", "Journey", "Summer", "Neighbour", "Morning", "Garage",
    "Island", "Weekend", "Answer", "Challenge", "Story", "Evening", "Corner", "Beginning",
)  # fmt: skip


def describe(topic: NDArray[np.int64], quality: NDArray[np.float32]) -> tuple[list[str], list[str]]:
    """Put videos into words.

    :param topic: (N,) 0 to 19.
    :param quality: (N,) turned into five grades among all videos, and three within a topic.
    :returns: N titles and N texts.
    """
    grade = np.searchsorted(np.quantile(quality, [0.2, 0.4, 0.6, 0.8]), quality)
    kind = np.zeros(len(topic), dtype=np.int64)
    for number in range(len(TOPICS)):
        own = topic == number
        if own.any():
            kind[own] = np.searchsorted(np.quantile(quality[own], [1 / 3, 2 / 3]), quality[own])
    titles, texts = [], []
    for row in range(len(topic)):
        name, subject = TOPICS[topic[row]]
        titles.append(f"{_NOUNS[row // len(TOPICS) % len(_NOUNS)]} of {name} {row + 1}")
        texts.append(f"{name}: {subject}. {_GRADES[grade[row]]}, {_KINDS[kind[row]]}.")
    return titles, texts
