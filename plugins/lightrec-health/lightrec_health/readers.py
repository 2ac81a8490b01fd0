"""Reader of Food.com recipes with WHO health scores, and of their ratings."""

import ast
import math
from pathlib import Path
from typing import Final

import polars as pl
from lightrec_formats.described import DescribedReader
from lightrec_formats.published import PublishedReader, first_names

from lightrec.api import Catalog, Column, DataError, InteractionLog, Place, Problems, to_numbers
from lightrec_health.harm import CONDITIONS, NOTHING, SCORE
from lightrec_health.ingredients import allergens

RECIPES: Final = "recipes.csv"
PARTS: Final = ("train_ratings.csv", "val_ratings.csv", "test_ratings.csv")
"""The set's own split, in its order."""
CONTRAINDICATIONS: Final = dict(
    zip(CONDITIONS, (("sodium", 720.0), ("sugars", 27.0), ("saturated_fat", 6.0)), strict=True)
)
"""Conditions, with the nutrient of a portion and the amount above which a recipe counts as bad for
them: 1.8 g of salt (720 mg of sodium), 27 g of sugars, 6 g of saturated fat, the bounds of "high"
for a portion in the UK's guide to front-of-pack labels (Department of Health, 2016)."""
_LISTS: Final = ("tags", "ingredients")
_NUMBERS: Final = {
    "calories": "calories",
    "fat": "totalFat",
    "saturated_fat": "saturatedFat",
    "sugars": "sugars",
    "sodium": "sodium",
    "protein": "protein",
    "minutes": "duration",
    "who_score": "who_score",
    SCORE: "health_score",
}


class FoodReader(PublishedReader):
    """A folder with ``recipes.csv`` and ratings, or one of the files of ratings in it.

    From the folder come all ratings: those of ``train_ratings.csv``, then of ``val_ratings.csv``
    and ``test_ratings.csv``, the set's own split. The set has no times, so this is their order.

    Recipes have tags, ingredients, nutrients of a portion (grams, milligrams of sodium), minutes,
    ``health_score`` (the WHO score on a scale from 0 to 1) and ``allergens`` and
    ``contraindications``, which are worked out from ingredients and nutrients and may be wrong.
    """

    name = "food-who-health"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is such a folder, or a file of ratings beside such recipes."""
        recipes = (path if path.is_dir() else path.parent) / RECIPES
        names = {"recipe_id", "title", "calories"}
        return bool(_ratings(path)) and recipes.is_file() and names <= first_names(recipes)

    def events(self, file: Path) -> InteractionLog:
        """Read ratings."""
        if not (parts := _ratings(file)):
            raise DataError(f"Ratings are missing; expected are {', '.join(PARTS)}.", file)
        problems, logs = Problems(), list[pl.DataFrame]()
        names = {Column.USER: "member_id", Column.ITEM: "recipe_id", Column.VALUE: "rating"}
        for part in parts:
            with problems.taking():
                logs.append(self.log(part, names).events)
        problems.check()
        return InteractionLog(pl.concat(logs), place=Place(file, form="text parted by commas"))

    def items(self, file: Path) -> Catalog:
        """Read the recipes."""
        file = (file if file.is_dir() else file.parent) / RECIPES
        problems = Problems(file)
        names = {Column.ITEM: "recipe_id", Column.TITLE: "title"}
        frame, place = self.table(file, names | {name: name for name in _LISTS} | _NUMBERS)
        limits = dict.fromkeys(_NUMBERS, (-math.inf, math.inf, "a number"))
        limits[SCORE] = 0, 1, "a number from 0 to 1"
        numbers = [
            to_numbers(frame[name], pl.Float64(), limit, place, problems)
            for name, limit in limits.items()
        ]
        lists = [_lists(frame[name], place, problems) for name in _LISTS]
        problems.check()
        holds = pl.Series("allergens", map(allergens, lists[1]), pl.List(pl.String))
        rows = frame.with_columns(*lists, *numbers, holds).with_columns(bad_for())
        return Catalog(rows, place=place)


def bad_for() -> pl.Expr:
    """List the conditions that each recipe is bad for; null where a nutrient is not known."""
    amounts = {name: (pl.col(n), most) for name, (n, most) in CONTRAINDICATIONS.items()}
    bad = [pl.when(amount > most).then(pl.lit(name)) for name, (amount, most) in amounts.items()]
    names = pl.concat_list(bad).list.drop_nulls()
    names = pl.when(names.list.len() > 0).then(names).otherwise(pl.lit([NOTHING]))
    is_known = pl.all_horizontal(amount.is_not_null() for amount, _ in amounts.values())
    return pl.when(is_known).then(names).alias("contraindications")


def _lists(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Read lists as Python writes them, and of ``{"part": [("name", "amount"), …]}`` the names."""
    rows: list[list[str] | None] = []
    for text in column:
        try:
            value = ast.literal_eval(text or "")
            if isinstance(value, dict):
                value = [str(name).strip() for part in value.values() for name, _ in part]
        except (SyntaxError, ValueError, TypeError):
            value = None
        rows.append(value if isinstance(value, list) else None)
    lists = pl.Series(column.name, rows, pl.List(pl.String))
    bad, expected = lists.is_null() & column.is_not_null(), "a list as Python writes it"
    problems.add_rows(bad, lambda row: place.value(column, row, expected))
    return lists


def _ratings(path: Path) -> list[Path]:
    """A folder's files of ratings, or the path itself where it is one; else nothing."""
    parts = [path / name for name in PARTS] if path.is_dir() else [path] * (path.name in PARTS)
    return parts if all(part.is_file() for part in parts) else []


class HealthSets(DescribedReader):
    """Published logs of food and health; ``sets.yaml`` describes them."""

    name = "health-sets"
    descriptions = Path(__file__).with_name("sets.yaml")
