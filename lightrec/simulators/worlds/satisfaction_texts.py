"""Words for the documents of the world of long-term satisfaction: chocolate or kale.

Of the ten words of a text, as many are sweet as the document's clickbait score has tenths.
"""

import numpy as np
from numpy.typing import NDArray

PAIRS = (
    ("shocking", "careful"), ("gossip", "analysis"), ("secret", "method"),
    ("unbelievable", "documented"), ("celebrity", "researcher"), ("scandal", "report"),
    ("hilarious", "thoughtful"), ("prank", "experiment"), ("outrageous", "balanced"),
    ("chocolate", "kale"),
)  # fmt: skip
"""A sweet word and a healthy one for each of the ten places."""

_KINDS = (
    "pure kale: healthy reading",
    "mostly kale: healthy reading with a sweet bite",
    "half kale, half chocolate",
    "mostly chocolate: clickbait with something to it",
    "pure chocolate: clickbait",
)


def describe(score: NDArray[np.float32]) -> tuple[list[str], list[str]]:
    """Put documents into words.

    :param score: (N,) clickbait scores, 0 for kale to 1 for chocolate.
    :returns: N titles and N texts.
    """
    titles, texts = [], []
    for row, value in enumerate(score):
        sweet = round(10 * float(value))
        # Another ten of the pairs are sweet in each row, so that no word alone tells the score.
        words = [pair[(place + row) % 10 >= sweet] for place, pair in enumerate(PAIRS)]
        kind = _KINDS[min(int(5 * value), 4)]
        titles.append(f"The {words[0]} {words[row % 9 + 1]} {row + 1}")
        texts.append(f"{kind}. {', '.join(words)}.")
    return titles, texts
