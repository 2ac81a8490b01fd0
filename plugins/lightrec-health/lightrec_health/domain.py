"""Food, exercises and the like: their words, and what must not be shown to whom."""

from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.data.domain import Domain
from lightrec.keys import Column

AGAINST: Final = {"allergies": "allergens", "conditions": "contraindications"}
"""Attributes of people, and the attributes of items that must have nothing in common with them."""
NOTHING: Final = "none"
"""In place of a list: known to have none."""
SCORE: Final = "health_score"
"""Attribute of items: how healthy they are, 0 to 1."""
Mask: TypeAlias = npt.NDArray[np.bool_]


class HealthDomain(Domain):
    """Recipes and other things that are good for some people and harm others."""

    name = "health"
    repeats = False
    disclaimer = (
        "This is no medical advice: scores and lists of allergens may be wrong. Read what is on "
        "the package, and ask a doctor or a dietitian."
    )

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put items into words: ``Bean salad. Tags: vegan, lunch. Ingredients: beans, lemon``.

        :param items: a catalog, of which ``title``, ``tags`` and ``ingredients`` (lists, or strings
            that are taken as they are) are used where they are there.
        """
        words = [pl.col(Column.TITLE)] if Column.TITLE in items.columns else []
        for name in ("tags", "ingredients"):
            dtype = items.schema.get(name)
            if dtype == pl.List(pl.String):
                listed = pl.col(name).list.join(", ")
            elif dtype == pl.String:
                listed = pl.col(name)
            else:
                continue
            said = pl.format(f"{name.title()}: {{}}", listed)
            words.append(pl.when(listed != "").then(said))
        if not words:
            return pl.Series(Column.TEXT, [""] * items.height, pl.String)
        text = pl.concat_str(words, separator=". ", ignore_nulls=True)
        return items.select(text.fill_null("").alias(Column.TEXT)).to_series()

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
            allowed &= _apart(_sets(users, name), _sets(items, AGAINST[name]))
        return allowed

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a made-up log of people who cook, some of them with allergies."""
        from lightrec_health.made_up import write

        return write(folder, seed)


def is_asked(users: pl.DataFrame) -> list[str]:
    """List the attributes of people that forbid something, as far as a log has them."""
    return [name for name in AGAINST if name in users.columns]


def _sets(table: pl.DataFrame, name: str) -> list[set[str] | None]:
    """Read lists, or strings such as ``milk|nuts``; None where nothing is known."""
    if name not in table.columns:
        return [None] * table.height
    column = table[name]
    if not isinstance(column.dtype, pl.List):
        column = column.cast(pl.String).str.replace_all(r"[;,]", "|").str.split("|")
    found: list[set[str] | None] = []
    for listed in column:
        words = None if listed is None else {str(word).strip().lower() for word in listed}
        found.append(None if words is None else words - {NOTHING, ""})
    return found


def _apart(people: list[set[str] | None], things: list[set[str] | None]) -> Mask:
    """Tell which things (N) have nothing in common with which people (U), for sure: (U, N)."""
    words = sorted(set[str]().union(*(own for own in people if own)))
    columns = {word: column for column, word in enumerate(words)}

    def matrix(sets: list[set[str] | None]) -> npt.NDArray[np.int32]:
        rows = np.zeros((len(sets), len(words)), np.int32)
        for row, own in enumerate(sets):
            rows[row, [columns[word] for word in own or () if word in columns]] = 1
        return rows

    met = matrix(people) @ matrix(things).T > 0
    known, free = (
        [np.array([test(own) for own in sets], bool) for sets in (people, things)]
        for test in (lambda own: own is not None, lambda own: own == set())
    )
    sure = np.where(known[0][:, None], known[1] | free[0][:, None], free[1])
    return np.asarray(sure & ~met, bool)
