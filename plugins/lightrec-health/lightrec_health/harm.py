"""What harms whom: allergens and contraindications, how they are named, and what they forbid."""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import yaml
from lightrec_formats.masks import Mask
from lightrec_formats.names import in_common

from lightrec.api import Audience

AGAINST: Final = {"allergies": "allergens", "conditions": "contraindications"}
"""Attributes of people, and the attributes of items that must have nothing in common with them."""
NOTHING: Final = "none"
"""In place of a list: known to have none."""
UNKNOWN: Final = "unknown"
"""In a list: there may be more than it names."""
ALLERGENS: Final = (
    "gluten", "crustaceans", "eggs", "fish", "peanuts", "soy", "milk", "nuts", "celery", "mustard",
    "sesame", "sulphites", "lupin", "molluscs",
)  # fmt: skip
"""The fourteen that labels in the EU must name: Regulation (EU) No 1169/2011, annex II."""
SAME: Final = yaml.safe_load(Path(__file__).with_name("allergens.yaml").read_text("utf-8"))
"""Other names of allergens, by those that they stand for."""
CONDITIONS: Final = ("hypertension", "diabetes", "high cholesterol")
"""Conditions that the recipes' reader looks at."""
CHECKED: Final = {"allergies": ALLERGENS, "conditions": CONDITIONS}
"""Names for which items are taken to be looked through, also where none of them has it."""
SCORE: Final = "health_score"
"""Attribute of items: how healthy they are, 0 to 1."""


def harmless(audience: Audience) -> Mask | None:
    """Forbid items that hold an allergen of the person, or are bad for a condition of theirs.

    An item of which this is not known, or not in full, is only for people known to have
    nothing. A person of whom it is not known, such as a new user, is shown only items known to
    hold nothing. Whoever has something that is none of :data:`ALLERGENS` or :data:`CONDITIONS`
    and that no item names is shown nothing: nobody has looked for it. Where the log asks nobody
    for allergies or conditions, nothing is forbidden, and the report says so.
    """
    users, items = audience.users, audience.items
    if not (attributes := is_asked(users)):
        return None
    allowed = np.ones((users.height, items.height), bool)
    for name in attributes:
        listed = _WORD.is_in(CHECKED[name])
        people, things = _words(users, name), _words(items, AGAINST[name])
        sure = _is_known(people)[:, None] & _is_known(things)
        if name == "allergies":  # what is none of the fourteen may be one in other words
            others = _has(things, ~listed & (_WORD != UNKNOWN))
            sure &= ~(_has(people, listed)[:, None] & others)
        sure |= _is_free(people)[:, None] | _is_free(things)
        allowed &= sure & (in_common(people, things) == 0)
        named = _WORD.is_in([UNKNOWN, *things.explode().drop_nulls().unique()])
        allowed &= ~_has(people, ~listed & ~named)[:, None]
    return allowed


def is_asked(users: pl.DataFrame) -> list[str]:
    """List the attributes of people that forbid something, as far as a log has them."""
    return [name for name in AGAINST if name in users.columns]


def _words(table: pl.DataFrame, name: str) -> pl.Series:
    """Read lists, or strings such as ``milk|nuts``; null where nothing is known.

    Allergens have the names of :data:`ALLERGENS`, and what is blank in a list is ``unknown``.
    """
    if name not in table.columns:
        return pl.Series([None] * table.height, dtype=pl.List(pl.String))
    column = table[name]
    if not isinstance(column.dtype, pl.List):
        column = column.cast(pl.String).str.replace_all(r"[;,]", "|").str.split("|")
    plain = _WORD.cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("")
    plain = plain.replace({"": UNKNOWN} | (_SAME if "aller" in name else {}))
    plain = plain.str.split("|").explode()
    return column.list.eval(plain.filter(plain != NOTHING))


def _is_free(words: pl.Series) -> Mask:
    """Tell who is known to have nothing, or what is known to hold nothing."""
    return (words.list.len() == 0).fill_null(False).to_numpy()


def _is_known(words: pl.Series) -> Mask:
    """Tell of whom, or of what, all is known."""
    return words.is_not_null().to_numpy() & ~_has(words, _WORD == UNKNOWN)


def _has(words: pl.Series, condition: pl.Expr) -> Mask:
    """Tell who or what has a word of which a condition holds."""
    return words.list.eval(condition).list.any().fill_null(False).to_numpy()


_WORD: Final = pl.element()
_SAME: Final = {other: name for name, others in SAME.items() for other in others}
