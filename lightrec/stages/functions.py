"""Settings of the stages that are plain functions, parsed and checked like any other recipe."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from jsonargparse import ArgumentParser

from lightrec.errors import RecipeError
from lightrec.settings import in_sentences
from lightrec.stages.stage import Stage

GIVEN: Final = {"out", "log", "items", "users"}
"""Arguments that no recipe gives, but the run."""


def settings(stage: Stage, function: Callable[..., object]) -> dict[str, Any]:
    """Read a stage's recipe and overrides as the arguments of a function.

    :raises RecipeError: where a setting is unknown or has the wrong type.
    """
    prog = f"lightrec run ({stage.name})"
    parser = ArgumentParser(exit_on_error=False, prog=prog, allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function, skip=GIVEN & {*inspect.signature(function).parameters})
    try:
        parsed = parser.parse_args(["--config", str(stage.recipe), *stage.overrides])
    except Exception as error:
        raise RecipeError(
            f"The settings of the stage {stage.name} ({stage.recipe}) cannot be used. "
            f"{in_sentences(str(error))}"
        ) from error
    parsed.pop("config", None)
    return dict(parser.instantiate_classes(parsed).as_dict())
