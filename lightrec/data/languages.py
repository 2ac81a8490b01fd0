"""Which languages texts are in, by a detector that needs no network."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final
from unicodedata import combining, east_asian_width

import polars as pl

from lightrec.data.words import WORDS
from lightrec.keys import Column

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

NAMES: Final[dict[str, str]] = WORDS["languages"]
"""The languages that are told apart, by ISO 639-1 code; among rarer ones, names mislead."""
LOOKED_AT: Final = 1_000
"""Texts that are looked at, evenly taken from all."""
CUT: Final = 500
"""Characters of a text that are looked at."""
BLOCK: Final = 300
"""Bytes that the detector judges together: of a title alone it often errs."""
FEWEST: Final = 20
"""Number of different words below which there is no telling."""
_WORD: Final = re.compile(r"[^\W\d_]{2,}")


def languages_of(texts: Iterable[str | None]) -> dict[str, float]:
    """Find the languages of texts.

    :returns: the share of the texts in each language, by ISO 639-1 code, the largest first; shares
        below a twentieth are left out. Empty where the texts have too few different words.
    """
    words = [" ".join(_WORD.findall(text[:CUT])) for text in sample(texts)]
    if len({word for text in words for word in text.lower().split()}) < FEWEST:
        return {}
    sizes: Counter[str] = Counter()
    block = b""
    for text in [*words, ""]:
        block += text.encode() + b"\n"
        if len(block) >= BLOCK or (not text and len(block) > BLOCK / 4):
            sizes[_identifier().classify(block.decode())[0]] += len(block)
            block = b""
    total = sizes.total()
    return {name: round(n / total, 3) for name, n in sizes.most_common() if n >= total / 20}


def wording(items: pl.DataFrame) -> pl.Series:
    """The texts that tell a catalog's language: titles, or texts where there are none.

    :param items: a catalog with the domain's words.
    """
    titles = items[Column.TITLE].drop_nulls()
    return titles if len(titles) else items[Column.TEXT]


def sample(texts: Iterable[str | None]) -> list[str]:
    """Take at most ``LOOKED_AT`` texts evenly from those that are not empty."""
    some = [text for text in texts if text]
    return some[:: -(-len(some) // LOOKED_AT) or 1]


def in_words(languages: Mapping[str, float]) -> str:
    """Set shares for a reader: ``German (93 %) and English (7 %)``."""
    parts = [f"{NAMES.get(code, code)} ({100 * share:.0f} %)" for code, share in languages.items()]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def width(text: str) -> int:
    """Count the columns of a text in a terminal: an East Asian wide character takes two."""
    wide = sum(east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(combining(character) != 0 for character in text)


def fitted(text: str, columns: int) -> str:
    """Cut a text, or fill it with blanks, to a number of a terminal's columns."""
    while width(text) > columns:
        text = text[:-1]
    return text + " " * (columns - width(text))


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages([*NAMES])
    return identifier
