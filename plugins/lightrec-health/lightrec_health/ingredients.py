"""Ingredients in words: which of them are known, and what allergens these hold.

``ingredients.yaml`` names foods, and words that say nothing of a food, such as "chopped". An
ingredient is known where all its words are. Of any other word nobody can tell what it holds, so
nothing is concluded.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from lightrec_health.harm import ALLERGENS, NOTHING, UNKNOWN

Held: TypeAlias = dict[str, frozenset[str]]
_WORD: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s'’.-]")
"""A word, or what parts words: no name goes across it."""


def allergens(ingredients: Iterable[str | None] | None) -> list[str] | None:
    """Find the allergens that a list of ingredients names.

    :returns: their names, as in :data:`ALLERGENS`, and ``unknown`` where an ingredient is not
        known; ``none`` where all are known and hold none; None where there is no ingredient.
    """
    each = [] if ingredients is None else [held(text or "") for text in ingredients]
    if not each:
        return None
    names = frozenset[str]().union(*each)
    return [name for name in (*ALLERGENS, UNKNOWN) if name in names] or [NOTHING]


@lru_cache(10_000)
def held(ingredient: str) -> frozenset[str]:
    """Find the allergens of an ingredient, and ``unknown`` where one of its words is not known."""
    plain = unicodedata.normalize("NFKD", ingredient.lower())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = [_one(word) for word in _WORD.findall(re.sub(r"['’]s\b", "", plain))]
    holds, names, at = set[str](), [""], 0
    while at < len(words):
        ends = range(min(at + _LONGEST, len(words)), at, -1)
        spans = ((end, " ".join(words[at:end])) for end in ends)
        at, name = next((span for span in spans if span[1] in _KNOWN), (at + 1, words[at]))
        holds |= _KNOWN.get(name, {UNKNOWN} if name.isalpha() else set())
        if names[-1] in _FOODS and _FOODS.get(name) == set():
            holds.add(UNKNOWN)  # two foods may make a third, such as orange chicken
        names.append(name)
    return frozenset(holds if _FOODS.keys() & names else {*holds, UNKNOWN})


def _one(word: str) -> str:
    """Bring a plural to the form in which it is known, or leave a word as it is."""
    forms = word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)
    return next((form for form in forms if form in _VOCABULARY), word)


def _by_name(table: Mapping[str, Iterable[str]]) -> Held:
    """Turn names by what they hold into what each holds."""
    return {
        name: frozenset(key.split()) - {NOTHING} for key, names in table.items() for name in names
    }


_SAID: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_FOODS: Final = _by_name(_SAID["foods"]) | _by_name({"": [f"dried {n}" for n in _SAID["dried"]]})
_KNOWN: Final = _by_name({"": _SAID["words"]}) | _by_name(_SAID["treated"]) | _FOODS
_LONGEST: Final = max(name.count(" ") + 1 for name in _KNOWN)
_VOCABULARY: Final = frozenset(word for name in _KNOWN for word in name.split())
