"""Allergens of ingredients, against a table that was written for this test alone."""

from pathlib import Path

import pytest
import yaml
from lightrec_health.harm import ALLERGENS
from lightrec_health.ingredients import allergens

TABLE = yaml.safe_load(Path(__file__).with_name("ingredients.yaml").read_text("utf-8"))


def listed(names):
    return names.split("; ")


@pytest.mark.parametrize("allergen", ALLERGENS)
def test_no_ingredient_that_holds_an_allergen_counts_as_free_of_it(allergen):
    holds = {name: allergens([name]) or [] for name in listed(TABLE["holds"][allergen])}
    assert [name for name, held in holds.items() if not {allergen, "unknown"} & {*held}] == []
    named = [name for name, held in holds.items() if allergen in held]
    assert len(named) >= 0.9 * len(holds), sorted({*holds} - {*named})


def test_common_ingredients_that_hold_nothing_are_known():
    free = listed(TABLE["free"])
    assert [name for name in free if allergens([name]) != ["none"]] == []
    # Nothing of a list in which all is known and free changes that, and one more word does.
    assert allergens(free) == ["none"]
    assert allergens([*free, "marzipan"]) == ["nuts"]
    assert allergens([*free, "blorb"]) == ["unknown"]


def test_what_is_not_recognised_is_unknown():
    names = ["", *listed(TABLE["unknown"])]
    assert [name for name in names if "unknown" not in (allergens(["salt", name]) or ())] == []


@pytest.mark.parametrize(
    ("ingredients", "names"),
    [
        (["crunchy peanut butter"], ["peanuts"]),
        (["coconut milk"], ["sulphites"]),
        (["beans, butter"], ["milk"]),
        (["peanut, butter"], ["peanuts", "milk"]),
        (["soy sauce (tamari)"], ["gluten", "soy"]),
        (["toasted ALMONDS", None], ["nuts", "unknown"]),
        (["butter or 1/2 cup $template2$"], ["milk", "unknown"]),
        ([], None),
        (None, None),
    ],
)
def test_what_is_found(ingredients, names):
    assert allergens(ingredients) == names
