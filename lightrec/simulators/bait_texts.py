"""Words for made-up items that have a topic, a quality and some bait.

Titles show the bait, as headlines do; texts tell the topic and how good an item really is.
"""

import numpy as np
from numpy.typing import NDArray

from lightrec.simulators.far_texts import CATEGORIES

_HEADLINES = (
    "Notes on the {}",
    "The {}, Told Calmly",
    "All About the {}",
    "Five Surprises of the {}",
    "You Will Not Believe This {}",
)
"""From no bait to much."""
_VERDICTS = (
    "Whoever has seen it regrets the time",
    "It promises more than it keeps",
    "It passes the time",
    "Carefully made, and worth the time",
    "It stays in the mind for weeks",
)
"""From bad to good."""


def describe(
    topic: NDArray[np.int64], quality: NDArray[np.float32], bait: NDArray[np.float32]
) -> tuple[list[str], list[str]]:
    """Put items into words.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades of equal size.
    :param bait: (N,), likewise.
    :returns: N titles and N texts.
    """
    titles, texts = [], []
    rows = zip(topic.tolist(), _grades(quality), _grades(bait), strict=True)
    for row, (number, good, loud) in enumerate(rows):
        name, subject = CATEGORIES[number]
        titles.append(f"{_HEADLINES[loud].format(name.title())} {row + 1}")
        texts.append(f"{name}: {subject}. {_VERDICTS[good]}.")
    return titles, texts


def _grades(values: NDArray[np.float32]) -> list[int]:
    return np.searchsorted(np.quantile(values, [0.2, 0.4, 0.6, 0.8]), values).tolist()
