"""What ingredients are known to hold, against a table that was written for this test alone."""

from pathlib import Path

import pytest
import yaml
from lightrec_health.domain import ALLERGENS
from lightrec_health.ingredients import allergens

TABLE = yaml.safe_load(Path(__file__).with_name("ingredients.yaml").read_text("utf-8"))


def listed(names: str) -> list[str]:
    return names.split("; ")


@pytest.mark.parametrize("allergen", ALLERGENS)
def test_no_ingredient_that_holds_an_allergen_counts_as_free_of_it(allergen: str) -> None:
    found = {name: allergens([name]) or [] for name in listed(TABLE["holds"][allergen])}
    missed = [name for name, held in found.items() if not {allergen, "unknown"} & {*held}]
    assert missed == []
    named = [name for name, held in found.items() if allergen in held]
    assert len(named) >= 0.9 * len(found), sorted({*found} - {*named})


def test_common_ingredients_that_hold_nothing_are_known() -> None:
    found = {name: allergens([name]) for name in listed(TABLE["free"])}
    assert {name: held for name, held in found.items() if held != ["none"]} == {}
    # Nothing of a list in which all is known and free changes that, and one more word does.
    assert allergens(listed(TABLE["free"])) == ["none"]
    assert allergens([*listed(TABLE["free"]), "marzipan"]) == ["nuts"]
    assert allergens([*listed(TABLE["free"]), "blorb"]) == ["unknown"]


def test_what_is_not_recognised_is_unknown() -> None:
    found = {name: allergens(["salt", name]) or () for name in ["", *listed(TABLE["unknown"])]}
    assert [name for name, held in found.items() if "unknown" not in held] == []


@pytest.mark.parametrize(
    ("ingredients", "found"),
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
def test_what_is_found(ingredients: list[str | None] | None, found: list[str] | None) -> None:
    assert allergens(ingredients) == found
