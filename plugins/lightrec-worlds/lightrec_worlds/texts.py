"""Words for the items of worlds: titles and texts that say what an item is.

What a text encoder may know of an item stands in them, and no more: users' laws do not. Films have
theirs from :mod:`lightrec.simulators.worlds.texts`.
"""

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.catalog import Catalog
from lightrec.simulators.worlds.texts import CATEGORIES, catalog_of, grades

Words = Literal["plain", "varied", "unheard"]
"""``varied``: drawn from several wordings; ``unheard``: added items in wordings of their own."""

_HEADLINES = (
    ("Notes on the {}", "On the {}", "The {}: An Introduction", "Looking at the {}",
     "Remarks About the {}", "A Report on the {}"),
    ("The {}, Told Calmly", "A Quiet Look at the {}", "The {} in a Few Words",
     "What the {} Is About", "The {}, Soberly Considered", "A Sensible Account of the {}"),
    ("All About the {}", "Everything on the {}", "The {} From Beginning to End",
     "The Whole Story of the {}", "Your Complete {}", "The {} and All Around It"),
    ("Five Surprises of the {}", "Seven Things That the {} Hides", "The {} Secret Revealed",
     "Why Everybody Talks About This {}", "Ten Facts of the {} That Amaze",
     "What They Never Told You About the {}"),
    ("You Will Not Believe This {}", "This {} Will Blow Your Mind", "The {} Shocks Everyone!",
     "OMG: The Craziest {} Ever", "Unbelievable! Nobody Expected This {}",
     "This {} Leaves Millions Speechless!"),
)  # fmt: skip
"""From no bait to much; the first of each is the plain one, the last third is unheard."""
_VERDICTS = (
    ("Whoever has seen it regrets the time", "A waste of an evening", "Badly made and dull",
     "Nobody watches it to the end", "It is time thrown away", "Poor work from start to finish"),
    ("It promises more than it keeps", "It disappoints a little", "Weaker than one hopes",
     "It falls short of what it sets out to do", "Most people had expected more",
     "Somewhat below what was announced"),
    ("It passes the time", "Neither good nor bad", "It is all right", "An average piece",
     "Middling, and soon forgotten", "It will do for an evening"),
    ("Carefully made, and worth the time", "Good work, well told",
     "One is glad to have seen it", "Solid and rewarding",
     "Done with care; it pays to watch it", "A pleasure, and well crafted"),
    ("It stays in the mind for weeks", "A masterpiece", "Excellent: people watch it again",
     "Among the best there is", "Outstanding, and unforgettable", "Superb in every respect"),
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


def describe_bait(
    topic: NDArray[np.int64],
    quality: NDArray[np.float32],
    bait: NDArray[np.float32],
    *,
    words: Words = "plain",
    added: int = 0,
    seed: int = 0,
) -> Catalog:
    """Put items into words, named ``item-0001`` and so on.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades of equal size.
    :param bait: (N,), likewise.
    :param words: how differently items that are alike are put.
    :param added: how many of the last items were added later: the grades are those of the others.
    :param seed: of the words; an item's do not depend on how many follow it.
    """
    first = len(topic) - added
    # Rows are filled one after the other, so that more items leave the earlier ones' words alone.
    drawn = np.random.default_rng(seed).random((len(topic), 4)) * (words != "plain")
    found = []
    rows = zip(topic, grades(quality, quality[:first]), grades(bait, bait[:first]), strict=True)
    for row, (number, good, loud) in enumerate(rows):
        name, subject = CATEGORIES[number]
        ways = [_HEADLINES[loud], _OPENINGS, _VERDICTS[good], _REMARKS]
        unheard = words == "unheard" and row >= first
        # The last third of the ways of putting it is unheard.
        ways = [way[2 * len(way) // 3 :] if unheard else way[: 2 * len(way) // 3] for way in ways]
        headline, opening, verdict, remark = (
            way[int(number * len(way))] for way, number in zip(ways, drawn[row], strict=True)
        )
        text = f"{opening.format(name, subject)}. {verdict}."
        if words != "plain":
            text = f"{text} {remark}."
        found.append((f"{headline.format(name.title())} {row + 1}", text))
    names = pl.Series("topic", [CATEGORIES[number][0] for number in topic], pl.String)
    return Catalog(catalog_of("item-{:04d}", found).rows.with_columns(names))


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
_VIDEO_KINDS = tuple(f"{word} most of its kind" for word in ("worse than", "like", "better than"))
_VIDEO_NOUNS = (
    "Monday", "Kitchen", "Secret", "Journey", "Summer", "Neighbour", "Morning", "Garage",
    "Island", "Weekend", "Answer", "Challenge", "Story", "Evening", "Corner", "Beginning",
)  # fmt: skip


def describe_videos(topic: NDArray[np.int64], quality: NDArray[np.float32]) -> Catalog:
    """Put videos into words, named ``video-1`` and so on.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades among all videos, and three within a topic.
    """
    kind = np.zeros(len(topic), dtype=np.int64)
    for number in np.unique(topic):
        own = topic == number
        kind[own] = np.searchsorted(np.quantile(quality[own], [1 / 3, 2 / 3]), quality[own])
    words = []
    for row, grade in enumerate(grades(quality)):
        name, subject = TOPICS[topic[row]]
        title = f"{_VIDEO_NOUNS[row // len(TOPICS) % len(_VIDEO_NOUNS)]} of {name} {row + 1}"
        words.append((title, f"{name}: {subject}. {_GRADES[grade]}, {_VIDEO_KINDS[kind[row]]}."))
    return catalog_of("video-{}", words)


PAIRS = (
    ("shocking", "careful"), ("gossip", "analysis"), ("secret", "method"),
    ("unbelievable", "documented"), ("celebrity", "researcher"), ("scandal", "report"),
    ("hilarious", "thoughtful"), ("prank", "experiment"), ("outrageous", "balanced"),
    ("chocolate", "kale"),
)  # fmt: skip
"""A sweet word and a healthy one for each of the ten places."""

_DOCUMENT_KINDS = (
    "pure kale: healthy reading",
    "mostly kale: healthy reading with a sweet bite",
    "half kale, half chocolate",
    "mostly chocolate: clickbait with something to it",
    "pure chocolate: clickbait",
)


def describe_documents(score: NDArray[np.float32]) -> Catalog:
    """Put documents into words, named ``document-1`` and so on.

    :param score: (N,) clickbait scores, 0 for kale to 1 for chocolate.
    """
    found = []
    for row, value in enumerate(score):
        sweet = round(10 * float(value))
        # Another ten of the pairs are sweet in each row, so that no word alone tells the score.
        words = [pair[(place + row) % 10 >= sweet] for place, pair in enumerate(PAIRS)]
        title = f"The {words[0]} {words[row % 9 + 1]} {row + 1}"
        found.append((title, f"{_DOCUMENT_KINDS[min(int(5 * value), 4)]}. {', '.join(words)}."))
    return catalog_of("document-{}", found)
