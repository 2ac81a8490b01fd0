"""Each check of a domain fails for a domain that is wrong in just that."""

from itertools import count

import numpy as np
import polars as pl
import pytest

from lightrec.data.catalog import Catalog, Users
from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.testing import DomainChecks


class Right(Domain):
    """Titles in words, and nothing else."""

    name = "right"

    def text(self, items):
        if "title" not in items.columns:
            return pl.Series("text", [""] * items.height, pl.String)
        return items["title"].fill_null("").alias("text")


class Named(Right):
    name = "Two Words"


class RepeatsSometimes(Right):
    repeats = "sometimes"


class SampleOfNobody(Right):
    sample_name = "movielens"


class AList(Right):
    def text(self, items):
        return super().text(items).to_list()


class Nulls(Right):
    def text(self, items):
        known = "title" in items.columns and items["title"].is_not_null().any()
        return super().text(items) if known else pl.Series([None] * items.height, dtype=pl.String)


class JoinsAttributes(Right):
    def text(self, items):
        others = [name for name in items.columns if name not in ("item", "title", "genres")]
        words = [pl.format(f"{name}: {{}}", pl.col(name).cast(pl.String)) for name in others]
        if not words:
            return super().text(items)
        return items.select(pl.concat_str(words, ignore_nulls=True).alias("text")).to_series()


class Numbers(Right):
    def text(self, items):
        return pl.Series("text", [f"{row} {text}" for row, text in enumerate(super().text(items))])


class Renames(Right):
    def text(self, items):
        text = super().text(items)
        if "words" not in items.columns:
            items.insert_column(items.width, text.alias("words"))
        return text


class Degrees(Right):
    def eligible(self, users, items, time):
        return np.ones((users.height, items.height))


class NeedsAge(Right):
    def eligible(self, users, items, time):
        return np.ones((users["age"].len(), items.height), bool)


class FirstUser(Right):
    def eligible(self, users, items, time):
        first = np.arange(users.height) == 0
        return np.tile(first[:, None], (1, items.height))


class Dice(Right):
    def eligible(self, users, items, time):
        return np.random.default_rng().random((users.height, items.height)) < 0.5


class Invents(Right):
    """Writes a log of its own, the same for the same seed."""

    def synthetic(self, folder, seed):
        chance = np.random.default_rng(seed)
        log = pl.DataFrame({"user": ["u", "v"], "item": chance.choice(["a", "b", "c", "d"], 2)})
        items = pl.DataFrame({"item": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
        users = pl.DataFrame({"user": ["u", "v"]})
        write_tables(Tables(InteractionLog(log), Catalog(items), Users(users)), folder)
        return folder


class InventsAnew(Invents):
    def synthetic(self, folder, seed):
        return super().synthetic(folder, next(SEEDS))


class InventsOnce(Invents):
    def synthetic(self, folder, seed):
        return super().synthetic(folder, 0)


class RightAboutAge(Right):
    """What has no title is for those of age."""

    def eligible(self, users, items, time):
        age = users["age"].cast(int).fill_null(0) if "age" in users.columns else [0] * users.height
        return (np.array(age)[:, None] >= 18) | items["title"].is_not_null().to_numpy()


SEEDS = count()


@pytest.mark.parametrize("right", [Right, RightAboutAge, Invents])
def test_a_right_one_passes(right, failing):
    assert failing(DomainChecks(right)) == set()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (Named, {"attributes"}),
        (RepeatsSometimes, {"attributes"}),
        (SampleOfNobody, {"attributes"}),
        (AList, {"output as declared", "rows apart"}),
        (Nulls, {"output as declared", "rows apart"}),
        (JoinsAttributes, {"output as declared"}),
        (Numbers, {"rows apart"}),
        (Renames, {"input unchanged"}),
        (Degrees, {"eligible"}),
        (NeedsAge, {"eligible"}),
        (FirstUser, {"eligible"}),
        (Dice, {"eligible"}),
        (InventsAnew, {"synthetic"}),
        (InventsOnce, {"synthetic"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, failing):
    assert failing(DomainChecks(wrong)) == names
