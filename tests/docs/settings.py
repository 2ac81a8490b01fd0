"""Whether settings of stages are known to their recipes and classes, found out by their parsers."""

import inspect
from functools import cache
from importlib import import_module
from pathlib import Path

import yaml

from lightrec import plugins
from lightrec.stages import recipes
from lightrec.stages.run import FUNCTIONS, check
from lightrec.stages.stage import INPUTS, Stage


@cache
def check_settings(stage: str, recipe: Path, overrides: tuple[str, ...]) -> None:
    """Parse a stage's settings, which raises a RecipeError where one is unknown or impossible."""
    check(Stage(stage, recipe, Path("runs/x") / stage, overrides))


def check_recipe(text: str, folder: Path) -> None:
    """Check a piece of YAML if it is a recipe."""
    keys = set(yaml.safe_load(text))
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    if {"model", "data"} <= keys:
        check_settings("ranker", path, ())
    for stage, (module, _, function) in FUNCTIONS.items():
        if keys <= set(inspect.signature(getattr(import_module(module), function)).parameters):
            check_settings(stage, path, ())


def recipe_of(stage: str, name: str) -> Path:
    """The recipe of a stage in a named set, or in the generic one where the name is an example."""
    known = name in plugins.installed().parts[plugins.RECIPES]
    folder = recipes.folder(name if known else "generic")
    assert stage in INPUTS
    return folder / f"{stage}.yaml"
