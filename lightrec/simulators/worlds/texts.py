"""Words for the items of all worlds: titles and texts that say what an item is.

What a text encoder may know of an item stands in them, and no more: users' laws do not.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.catalog import Catalog
from lightrec.keys import Column


def _catalog(name: str, words: Iterable[tuple[str, str]]) -> Catalog:
    """Name items by their numbers; the words are titles and texts."""
    rows = [(name.format(number), *pair) for number, pair in enumerate(words, start=1)]
    return Catalog(
        pl.DataFrame(rows, schema=[Column.ITEM, Column.TITLE, Column.TEXT], orient="row")
    )


def _grades(values: NDArray[np.float32], among: NDArray[np.float32] | None = None) -> list[int]:
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
    for row, grade in enumerate(_grades(quality)):
        traits = [_TRAITS[axis][int(vectors[row, axis] > 0)] for axis in strongest[row]]
        name, subject = CATEGORIES[category[row]]
        title = f"The {traits[0].capitalize()} {_NOUNS[row % len(_NOUNS)]} {row + 1}"
        words.append((title, f"{name}: {subject}. {', '.join(traits)}. {_PRAISE[grade]}."))
    return _catalog("item-{:04d}", words)


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
    rows = zip(topic, _grades(quality, quality[:first]), _grades(bait, bait[:first]), strict=True)
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
    return Catalog(_catalog("item-{:04d}", found).rows.with_columns(names))


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
    for row, grade in enumerate(_grades(quality)):
        name, subject = TOPICS[topic[row]]
        title = f"{_VIDEO_NOUNS[row // len(TOPICS) % len(_VIDEO_NOUNS)]} of {name} {row + 1}"
        words.append((title, f"{name}: {subject}. {_GRADES[grade]}, {_VIDEO_KINDS[kind[row]]}."))
    return _catalog("video-{}", words)


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
    return _catalog("document-{}", found)
