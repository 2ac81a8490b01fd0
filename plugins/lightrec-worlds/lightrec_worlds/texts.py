"""Words for the items of worlds: titles and texts that say what an item is.

What a text encoder may know of an item stands in them, and no more: users' laws do not. Films have
theirs from :mod:`lightrec.simulators.worlds.texts`.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from lightrec.data.catalog import Catalog
from lightrec.simulators.worlds.texts import CATEGORIES, catalog_of, grades

Words = Literal["plain", "varied"]
"""``plain``: items alike are put alike; ``varied``: drawn from several wordings."""

_WORDS: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
TOPICS: Final = _WORDS["topics"]
"""Name and subject of each of the 20 topics of videos."""


def describe_bait(
    topic: NDArray[np.int64],
    quality: NDArray[np.float32],
    bait: NDArray[np.float32],
    *,
    words: Words = "plain",
    seed: int = 0,
) -> Catalog:
    """Put items into words, named ``item-0001`` and so on.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades of equal size.
    :param bait: (N,), likewise.
    :param words: how differently items that are alike are put.
    :param seed: of the words; an item's do not depend on how many follow it.
    """
    # Rows are filled one after the other, so that more items leave the earlier ones' words alone.
    drawn = np.random.default_rng(seed).random((len(topic), 4)) * (words != "plain")
    pairs = []
    rows = zip(topic, grades(quality), grades(bait), strict=True)
    for row, (number, good, loud) in enumerate(rows):
        name, subject = CATEGORIES[number]
        ways = [_WORDS["headlines"][loud], _WORDS["openings"]]
        ways += [_WORDS["verdicts"][good], _WORDS["remarks"]]
        headline, opening, verdict, remark = (
            way[int(number * len(way))] for way, number in zip(ways, drawn[row], strict=True)
        )
        text = f"{opening.format(name, subject)}. {verdict}."
        if words != "plain":
            text = f"{text} {remark}."
        pairs.append((f"{headline.format(name.title())} {row + 1}", text))
    names = pl.Series("topic", [CATEGORIES[number][0] for number in topic], pl.String)
    return Catalog(catalog_of("item-{:04d}", pairs).rows.with_columns(names))


def describe_videos(topic: NDArray[np.int64], quality: NDArray[np.float32]) -> Catalog:
    """Put videos into words, named ``video-1`` and so on.

    :param topic: (N,) 0 to 19.
    :param quality: (N,), turned into five grades among all videos, and three within a topic.
    """
    kind = np.zeros(len(topic), dtype=np.int64)
    for number in np.unique(topic):
        same = topic == number
        kind[same] = np.searchsorted(np.quantile(quality[same], [1 / 3, 2 / 3]), quality[same])
    words, nouns = [], _WORDS["nouns"]
    for row, grade in enumerate(grades(quality)):
        name, subject = TOPICS[topic[row]]
        title = f"{nouns[row // len(TOPICS) % len(nouns)]} of {name} {row + 1}"
        good, beside = _WORDS["grades"][grade], _WORDS["within_topic"][kind[row]]
        words.append((title, f"{name}: {subject}. {good}, {beside}."))
    return catalog_of("video-{}", words)


def describe_documents(score: NDArray[np.float32]) -> Catalog:
    """Put documents into words, named ``document-1`` and so on.

    :param score: (N,) clickbait scores, 0 for kale to 1 for chocolate.
    """
    rows = []
    for row, value in enumerate(score):
        sweet = round(10 * float(value))
        # Another ten of the pairs are sweet in each row, so that no word alone tells the score.
        words = [pair[(place + row) % 10 >= sweet] for place, pair in enumerate(_WORDS["pairs"])]
        title = f"The {words[0]} {words[row % 9 + 1]} {row + 1}"
        rows.append((title, f"{_WORDS['documents'][min(int(5 * value), 4)]}. {', '.join(words)}."))
    return catalog_of("document-{}", rows)
