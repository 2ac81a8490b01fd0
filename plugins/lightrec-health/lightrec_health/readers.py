"""Reader of Food.com recipes with WHO health scores, and of their ratings."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from lightrec.data.catalog import Catalog
from lightrec.data.files import check_file
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader
from lightrec.data.readers.delimited import TextTable
from lightrec.data.schema import Place, Problems
from lightrec.errors import DataError
from lightrec.keys import Column
from lightrec_health.domain import NOTHING, SCORE

RECIPES: Final = "recipes.csv"
PARTS: Final = ("train_ratings.csv", "val_ratings.csv", "test_ratings.csv")
"""The set's own split, in its order."""
ALL: Final = "all_ratings.csv"
ALLERGENS: Final = {
    "milk": r"milk|butter|cream|cheese|parmesan|mozzarella|cheddar|feta|ricotta|yogh?urt|ghee|whey",
    "eggs": r"eggs?|mayonnaise|meringue",
    "gluten": r"flour|wheat|breads?|breadcrumbs?|pasta|spaghetti|noodles?|macaroni|penne|couscous|"
    r"lasagn[ae]|barley|rye|oats|oatmeal|crackers?|biscuits?|tortillas?|dough|soy sauce|bulgur",
    "nuts": r"nuts?|almonds?|walnuts?|pecans?|cashews?|hazelnuts?|pistachios?|macadamias?",
    "peanuts": r"peanuts?",
    "soy": r"soy|soya|soybeans?|tofu|miso|edamame|tempeh",
    "fish": r"fish|salmon|tuna|cod|anchov(?:y|ies)|tilapia|halibut|trout|haddock|worcestershire",
    "shellfish": r"shrimps?|prawns?|crabs?|crabmeat|lobsters?|clams?|scallops?|mussels?|oysters?",
    "sesame": r"sesame|tahini",
    "mustard": r"mustard",
    "celery": r"celery",
}
"""Words of ingredients that name an allergen; they err on the careful side, as with peanut butter,
which counts as milk, and know nothing that they do not list."""
CONTRAINDICATIONS: Final = {
    "hypertension": ("sodium", 720.0),
    "diabetes": ("sugars", 27.0),
    "high cholesterol": ("saturatedFat", 6.0),
}
"""Conditions, with the nutrient of a portion and the amount above which a recipe counts as bad for
them: 1.8 g of salt (720 mg of sodium), 27 g of sugars, 6 g of saturated fat, the bounds of "high"
for a portion in the UK's guide to front-of-pack labels (Department of Health, 2016)."""
_NUMBERS: Final = {
    "calories": "calories",
    "totalFat": "fat",
    "saturatedFat": "saturated_fat",
    "sugars": "sugars",
    "sodium": "sodium",
    "protein": "protein",
    "duration": "minutes",
    "who_score": "who_score",
    "health_score": SCORE,
}
_WORDS: Final = {name: re.compile(rf"\b(?:{w})\b", re.IGNORECASE) for name, w in ALLERGENS.items()}


class FoodReader(Reader):
    """A folder with ``recipes.csv`` and ratings, or one of the files of ratings in it.

    From the folder come all ratings: those of ``train_ratings.csv``, then of ``val_ratings.csv``
    and ``test_ratings.csv``, the set's own split; or else those of ``all_ratings.csv``. The set has
    no times, so this is their order.

    Recipes have tags, ingredients, nutrients of a portion (grams, milligrams of sodium), minutes,
    ``health_score`` (the WHO score on a scale from 0 to 1) and ``allergens`` and
    ``contraindications``, which are worked out from ingredients and nutrients and may be wrong.
    """

    name = "food-who-health"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether it is such a folder, or a file of ratings beside such recipes."""
        folder = path if path.is_dir() else path.parent
        if not path.is_dir() and (path.name not in (*PARTS, ALL) or not path.is_file()):
            return False
        recipes = folder / RECIPES
        if not recipes.is_file() or not _ratings(folder):
            return False
        with recipes.open("rb") as stream:
            return stream.readline().startswith(b"recipe_id,title,calories")

    def read_log(self, path: Path, columns: Mapping[str, str] | None = None) -> InteractionLog:
        """Read ratings.

        :param columns: must be empty, since the format is fixed.
        :raises DataError: with all problems found, up to 20.
        """
        _check_names(columns, path)
        files = _ratings(path) if path.is_dir() else [path]
        if not files:
            raise DataError(f"There are no ratings, such as {PARTS[0]} or {ALL}.", path)
        problems, logs = Problems(), list[pl.DataFrame]()
        for file in files:
            with problems.taking():
                frame, place = _read(file, ("member_id", "recipe_id", "rating"))
                names = {Column.USER: "member_id", Column.ITEM: "recipe_id", Column.VALUE: "rating"}
                events = frame.select(pl.col(theirs).alias(ours) for ours, theirs in names.items())
                place = Place(file, place.unit, place.number, names, form=place.form)
                logs.append(InteractionLog(events, place=place).events)
        problems.check()
        return InteractionLog(pl.concat(logs), place=Place(path, form="text parted by commas"))

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog:
        """Read the recipes."""
        _check_names(columns, path)
        file = (path if path.is_dir() else path.parent) / RECIPES
        frame, place = _read(file, ("recipe_id", "title", *_NUMBERS, "tags", "ingredients"))
        problems = Problems(file)
        numbers = {}
        for theirs, ours in _NUMBERS.items():
            numbers[ours] = frame[theirs].cast(pl.Float64, strict=False)
            bad = numbers[ours].is_null() & (frame[theirs].fill_null("") != "")
            if theirs == "health_score":
                bad |= ~numbers[ours].is_between(0, 1)
            problems.add_rows(
                bad, lambda row, name=theirs: place.value(frame[name], row, "a number that fits")
            )
        tags = [_python(frame["tags"], row, place, problems) for row in range(frame.height)]
        given = [_python(frame["ingredients"], row, place, problems) for row in range(frame.height)]
        problems.check()
        ingredients = [_names(each) for each in given]
        rows = frame.select(
            pl.col("recipe_id").alias(Column.ITEM),
            pl.col("title").alias(Column.TITLE),
            pl.Series("tags", tags, pl.List(pl.String)),
            pl.Series("ingredients", ingredients, pl.List(pl.String)),
            *(numbers[ours].alias(ours) for ours in numbers),
            pl.Series("allergens", [allergens(each) for each in ingredients], pl.List(pl.String)),
            pl.Series("contraindications", _bad_for(frame), pl.List(pl.String)),
        )
        return Catalog(rows, place=place)


def allergens(ingredients: list[str] | None) -> list[str] | None:
    """Find the allergens that ingredients name; ``none`` where there are none, None if unknown."""
    if not ingredients:
        return None
    text = "\n".join(ingredients)
    return [name for name, words in _WORDS.items() if words.search(text)] or [NOTHING]


def _bad_for(frame: pl.DataFrame) -> list[list[str] | None]:
    """List the conditions that each recipe is bad for; None where a nutrient is not known."""
    names = [nutrient for nutrient, _ in CONTRAINDICATIONS.values()]
    found: list[list[str] | None] = []
    for row in frame.select(pl.col(names).cast(pl.Float64, strict=False)).iter_rows(named=True):
        if None in row.values():
            found.append(None)
            continue
        limits = CONTRAINDICATIONS.items()
        bad = [name for name, (nutrient, most) in limits if row[nutrient] > most]
        found.append(bad or [NOTHING])
    return found


def _names(ingredients: object) -> list[str] | None:
    """Give the names in ``{"part": [("name", "amount"), …], …}``."""
    if not isinstance(ingredients, dict):
        return None
    return [str(name).strip() for part in ingredients.values() for name, _ in part]


def _python(column: pl.Series, row: int, place: Place, problems: Problems) -> object:
    """Read a list or dictionary as Python writes it; None where there is nothing."""
    if not (text := column[row]):
        return None
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        problems.add(place.value(column, row, "a list as Python writes it"))
        return None


def _check_names(columns: Mapping[str, str] | None, path: Path) -> None:
    if columns:
        raise DataError("The columns of these files are fixed and cannot be named.", path)


def _ratings(folder: Path) -> list[Path]:
    parts = [folder / name for name in PARTS]
    if all(part.is_file() for part in parts):
        return parts
    return [folder / ALL] if (folder / ALL).is_file() else []


def _read(file: Path, names: tuple[str, ...]) -> tuple[pl.DataFrame, Place]:
    check_file(file)
    table, problems = TextTable(file, ","), Problems(file)
    if missing := [name for name in names if name not in table.names]:
        raise DataError(f"These columns are missing: {', '.join(missing)}.", file)
    frame, place = table.read(names, problems)
    problems.check()
    return frame, Place(file, place.unit, place.number, form=place.form)
