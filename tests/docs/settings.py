"""Whether settings of stages are known to their recipes and classes, found out by their parsers."""

from functools import cache
from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.stages import recipes
from lightrec.stages.run import check
from lightrec.stages.stage import Stage

STAGES = recipes.in_order(recipes.load("generic").recipes)


@cache
def check_settings(stage: str, recipe: str, overrides: tuple[str, ...]) -> None:
    """Parse a stage's settings, which raises a RecipeError where one is unknown or impossible.

    :param recipe: a file, or a name such as ``generic/ranker``.
    """
    check(Stage(stage, recipes.find(recipe)[1], Path("runs/x") / stage, overrides))


def check_recipe(text: str, folder: Path) -> None:
    """Check a piece of YAML if it is a recipe."""
    keys = set(yaml.safe_load(text))
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    if {"model", "data"} <= keys:
        check_settings("ranker", str(path), ())
    elif "function" in keys:
        check_settings("any", str(path), ())


def stages_of(name: str) -> list[str]:
    """The stages of a named set, or of the generic one where the name is an example."""
    return recipes.in_order(recipes.load(known(name)).recipes)


def recipe_of(stage: str, name: str) -> str:
    """The recipe of a stage in a named set, or in the generic one where the name is an example."""
    assert stage in stages_of(name)
    return f"{known(name)}/{stage}"


def known(name: str) -> str:
    return name if name in plugins.installed().parts[plugins.RECIPES] else "generic"
