"""Words for made-up items that have a topic, a quality and some bait.

Titles show the bait, as headlines do; texts tell the topic and how good an item really is. Words
are plain, one wording for each grade, or varied: then items that are alike are put differently, and
a remark stands beside that says nothing.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightrec.simulators.worlds.far_texts import CATEGORIES

Words = Literal["plain", "varied", "unheard"]
"""``plain``; ``varied``: drawn from several wordings; ``unheard``: the same, but items that were
added are put in further wordings, which no other item has."""

_HEADLINES = (
    (
        "Notes on the {}", "On the {}", "The {}: An Introduction", "Looking at the {}",
        "Remarks About the {}", "A Report on the {}",
    ),
    (
        "The {}, Told Calmly", "A Quiet Look at the {}", "The {} in a Few Words",
        "What the {} Is About", "The {}, Soberly Considered", "A Sensible Account of the {}",
    ),
    (
        "All About the {}", "Everything on the {}", "The {} From Beginning to End",
        "The Whole Story of the {}", "Your Complete {}", "The {} and All Around It",
    ),
    (
        "Five Surprises of the {}", "Seven Things That the {} Hides", "The {} Secret Revealed",
        "Why Everybody Talks About This {}", "Ten Facts of the {} That Amaze",
        "What They Never Told You About the {}",
    ),
    (
        "You Will Not Believe This {}", "This {} Will Blow Your Mind", "The {} Shocks Everyone!",
        "OMG: The Craziest {} Ever", "Unbelievable! Nobody Expected This {}",
        "This {} Leaves Millions Speechless!",
    ),
)  # fmt: skip
"""From no bait to much; the first of each is the plain one, the last third is unheard."""
_VERDICTS = (
    (
        "Whoever has seen it regrets the time", "A waste of an evening", "Badly made and dull",
        "Nobody watches it to the end", "It is time thrown away", "Poor work from start to finish",
    ),
    (
        "It promises more than it keeps", "It disappoints a little", "Weaker than one hopes",
        "It falls short of what it sets out to do", "Most people had expected more",
        "Somewhat below what was announced",
    ),
    (
        "It passes the time", "Neither good nor bad", "It is all right", "An average piece",
        "Middling, and soon forgotten", "It will do for an evening",
    ),
    (
        "Carefully made, and worth the time", "Good work, well told",
        "One is glad to have seen it", "Solid and rewarding",
        "Done with care; it pays to watch it", "A pleasure, and well crafted",
    ),
    (
        "It stays in the mind for weeks", "A masterpiece", "Excellent: people watch it again",
        "Among the best there is", "Outstanding, and unforgettable", "Superb in every respect",
    ),
)  # fmt: skip
"""From bad to good."""
_OPENINGS = (
    "{0}: {1}", "A {0} with {1}", "{1}, in the manner of a {0}", "Of the kind {0}. It has {1}",
    "We see {1}: a {0}", "If you want a {0}, here are {1}",
)  # fmt: skip
_REMARKS = (
    "In three parts", "With subtitles", "First shown on a Tuesday", "Filmed by a small crew",
    "It begins with a letter", "Ninety minutes long", "Also to be had as a book",
    "The second of a series", "From the archive", "With an interview afterwards",
    "Recorded in the north", "Newly restored", "Made for a festival", "Shown without a break",
    "Shot on old cameras", "It ends at a railway station",
    "Dubbed for the radio", "With a map of the places",
)  # fmt: skip
"""They say nothing of topic, quality or bait; the last six are unheard."""


def describe(
    topic: NDArray[np.int64],
    quality: NDArray[np.float32],
    bait: NDArray[np.float32],
    *,
    words: Words = "plain",
    added: int = 0,
    seed: int = 0,
) -> tuple[list[str], list[str]]:
    """Put items into words.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades of equal size.
    :param bait: (N,), likewise.
    :param words: how differently items that are alike are put.
    :param added: how many of the last items were added later: the grades are those of the others.
    :param seed: of the words; an item's do not depend on how many follow it.
    :returns: N titles and N texts.
    """
    first = len(topic) - added
    # Rows are filled one after the other, so that more items leave the earlier ones' words alone.
    drawn = np.random.default_rng(seed).random((len(topic), 4))
    titles, texts = [], []
    rows = zip(topic.tolist(), _grades(quality, first), _grades(bait, first), strict=True)
    for row, (number, good, loud) in enumerate(rows):
        name, subject = CATEGORIES[number]
        ways = (_HEADLINES[loud], _OPENINGS, _VERDICTS[good], _REMARKS)
        unheard = words == "unheard" and row >= first
        numbers = np.zeros(4) if words == "plain" else drawn[row]
        headline, opening, verdict, remark = (
            _one(way, number, unheard) for way, number in zip(ways, numbers, strict=True)
        )
        titles.append(f"{headline.format(name.title())} {row + 1}")
        text = f"{opening.format(name, subject)}. {verdict}."
        texts.append(text if words == "plain" else f"{text} {remark}.")
    return titles, texts


def _one(ways: Sequence[str], number: float, unheard: bool) -> str:
    """Take one of some ways of putting it, by a number from 0 to 1; the last third is unheard."""
    heard = len(ways) - len(ways) // 3
    chosen = ways[heard:] if unheard else ways[:heard]
    return chosen[int(number * len(chosen))]


def _grades(values: NDArray[np.float32], first: int) -> list[int]:
    """Grade all values 0 to 4 by the fifths of the first ones."""
    return np.searchsorted(np.quantile(values[:first], [0.2, 0.4, 0.6, 0.8]), values).tolist()
