"""Stages that train nothing: a function runs each, and its arguments are the recipe's settings."""

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.settings import in_sentences
from lightrec.stages import recipes
from lightrec.stages.stage import Stage


def function_of(stage: Stage) -> Callable[..., None]:
    """Import the function that runs a stage; its first argument is the stage.

    :raises RecipeError: where there is no such function.
    """
    module, _, name = (stage.function or "").rpartition(".")
    try:
        found: Callable[..., None] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"The recipe {stage.name} names the function {stage.function!r}, which cannot be "
            f"imported: {error}. Write it as package.module.function."
        ) from error
    return found


def settings(stage: Stage) -> dict[str, Any]:
    """Read a stage's recipe and overrides as the arguments of its function.

    :raises RecipeError: where a setting is unknown or has the wrong type.
    """
    function = function_of(stage)
    given_by_us = next(iter(inspect.signature(function).parameters))
    parser = ArgumentParser(
        exit_on_error=False, prog=f"lightrec run ({stage.name})", allow_abbrev=False
    )
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function, skip={given_by_us})
    given = json.dumps(recipes.settings(stage.recipe, stage.run), default=str)
    try:
        parsed = parser.parse_args(["--config", given, *stage.overrides])
    except Exception as error:
        raise RecipeError(
            f"The settings of the stage {stage.name} cannot be used. {in_sentences(str(error))}"
        ) from error
    parsed.pop("config", None)
    return dict(parser.instantiate_classes(parsed).as_dict())


def run_function(stage: Stage) -> None:
    """Run a stage that trains nothing."""
    for sentence in plugins.installed().load_all():
        plugins.warn(sentence)
    function_of(stage)(stage, **settings(stage))
