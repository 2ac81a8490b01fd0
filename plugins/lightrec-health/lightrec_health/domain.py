"""Food, exercises and the like: their words, and what must not be shown to whom."""

from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.domain import Domain, in_common

AGAINST: Final = {"allergies": "allergens", "conditions": "contraindications"}
"""Attributes of people, and the attributes of items that must have nothing in common with them."""
NOTHING: Final = "none"
"""In place of a list: known to have none."""
SCORE: Final = "health_score"
"""Attribute of items: how healthy they are, 0 to 1."""
Mask: TypeAlias = NDArray[np.bool_]


class HealthDomain(Domain):
    """Recipes and other things that are good for some people and harm others."""

    name = "health"
    repeats = False
    words = MappingProxyType({"title": "{}", "tags": "Tags: {}", "ingredients": "Ingredients: {}"})
    disclaimer = (
        "This is no medical advice: scores and lists of allergens may be wrong. Read what is on "
        "the package, and ask a doctor or a dietitian."
    )

    def eligible(self, users: pl.DataFrame, items: pl.DataFrame, time: pl.Series) -> Mask | None:
        """Forbid items that hold an allergen of the person, or are bad for a condition of theirs.

        An item of which this is not known is only for people known to have nothing. A person of
        whom it is not known, such as a stranger, is shown only items known to hold nothing. Where
        the log asks nobody for allergies or conditions, nothing is forbidden, and the report says
        so.
        """
        asked = is_asked(users)
        if not asked:
            return None
        allowed = np.ones((users.height, items.height), bool)
        for name in asked:
            people, things = _words(users, name), _words(items, AGAINST[name])
            known = people.is_not_null().to_numpy()[:, None] & things.is_not_null().to_numpy()
            sure = known | _is_free(people)[:, None] | _is_free(things)
            allowed &= sure & (in_common(people, things) == 0)
        return allowed

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a made-up log of people who cook, some of them with allergies."""
        from lightrec_health.made_up import write

        return write(folder, seed)


def is_asked(users: pl.DataFrame) -> list[str]:
    """List the attributes of people that forbid something, as far as a log has them."""
    return [name for name in AGAINST if name in users.columns]


def _words(table: pl.DataFrame, name: str) -> pl.Series:
    """Read lists, or strings such as ``milk|nuts``; null where nothing is known."""
    if name not in table.columns:
        return pl.Series([None] * table.height, dtype=pl.List(pl.String))
    column = table[name]
    if not isinstance(column.dtype, pl.List):
        column = column.cast(pl.String).str.replace_all(r"[;,]", "|").str.split("|")
    plain = pl.element().cast(pl.String).str.strip_chars().str.to_lowercase()
    return column.list.eval(plain.filter(~plain.is_in(["", NOTHING])))


def _is_free(words: pl.Series) -> Mask:
    """Tell who is known to have nothing, or what is known to hold nothing."""
    return (words.list.len() == 0).fill_null(False).to_numpy()
