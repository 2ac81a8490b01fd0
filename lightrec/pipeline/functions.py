"""Settings of the stages that are plain functions, parsed and checked like any other recipe."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from jsonargparse import ArgumentParser

from lightrec.errors import RecipeError
from lightrec.pipeline.stage import Stage


def settings(
    stage: Stage, function: Callable[..., object], skip: AbstractSet[str] = frozenset()
) -> dict[str, Any]:
    """Read a stage's recipe and overrides as the arguments of a function.

    :param skip: arguments that the stage itself gives.
    :raises RecipeError: where a setting is unknown or has the wrong type.
    """
    prog = f"lightrec run ({stage.name})"
    parser = ArgumentParser(exit_on_error=False, prog=prog, allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_function_arguments(function, skip=set(skip))
    try:
        parsed = parser.parse_args(["--config", str(stage.recipe), *stage.overrides])
    except Exception as error:
        raise RecipeError(
            f"The settings of the stage {stage.name} ({stage.recipe}) cannot be used: {error}"
        ) from error
    parsed.pop("config", None)
    return dict(parser.instantiate_classes(parsed).as_dict())
