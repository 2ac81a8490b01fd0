"""Spaces of `lightrec tune`: settings of a recipe, each with a range or a list of choices."""

import json
import math
import re
from typing import Any

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lightrec.errors import DataError, RecipeError

Space = dict[str, BaseDistribution]
"""Settings such as ``model.init_args.size``, each with what it may be; choices as texts."""
DEFAULT = """\
# What `lightrec tune` searches for a ranker, unless --space names another file.
model.init_args.learning_rate: {low: 0.0003, high: 0.01, log: true}
model.init_args.weight_decay: {low: 0.001, high: 0.3, log: true}
model.init_args.size: [32, 64, 128]
model.init_args.tower.init_args.dropout: {low: 0.1, high: 0.6}
model.init_args.tower.init_args.layers: [1, 2, 3]
model.init_args.tower.init_args.feedforward: [1, 2, 4]
"""
"""The space of the ranker stage, as the file that a user may write."""


def default_space(stage: str) -> str:
    """The default space of a stage, as YAML.

    :raises RecipeError: where it has none.
    """
    if stage != "ranker":
        raise RecipeError(
            f"There is no default space for the stage {stage}, only for ranker. "
            "Name a file with --space; `lightrec tune -c generic/ranker --print-space` shows how "
            "one looks."
        )
    return DEFAULT


def parse_space(content: str, source: object) -> Space:
    """Turn YAML into a space.

    :param source: in which problems are found.
    :raises DataError: where it is no space; names every problem.
    """
    try:
        settings = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise DataError(f"The space is not valid YAML: {error}.", source) from error
    if not isinstance(settings, dict) or not settings:
        raise DataError(
            "The space must be a mapping from settings to what they may be, such as "
            f"'model.init_args.weight_decay: {{low: 0.1, high: 0.5}}', not {settings!r}.",
            source,
        )
    space, problems = {}, []
    for name, values in settings.items():
        try:
            space[name] = _distribution(name, values)
        except (TypeError, ValueError) as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise DataError(problems, source)
    return space


def _distribution(name: object, values: Any) -> BaseDistribution:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_]\w*(\.[a-z_]\w*)*", name):
        raise ValueError(
            "A setting is named as in the recipe, such as model.init_args.size, without dashes."
        )
    match values:
        case [_, _, *_] if len({text(value) for value in values}) == len(values):
            return CategoricalDistribution([text(value) for value in values])
        case {"low": low, "high": high, **more} if more.keys() <= {"log", "step"}:
            log, step = bool(more.get("log")), more.get("step")
            low, high, *steps = (_number(n) for n in (low, high, step) if n is not None)
            if all(isinstance(number, int) for number in (low, high, *steps)):
                return IntDistribution(low, high, log, *steps)
            return FloatDistribution(low, high, log, *steps)
    raise ValueError(
        "Expected a range such as {low: 0.1, high: 0.5}, with log: true or a step if need be, or "
        f"two or more different choices such as [1, 2, 3], not {values!r}."
    )


def _number(value: Any) -> Any:
    # YAML takes 1e-4, without a point, for a word.
    number = value if isinstance(value, int) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"Expected a number, not {number}.")
    return number


def held(choices: BaseDistribution, value: object) -> object | None:
    """A recipe's value as a trial has it where it is in the space, else None."""
    try:
        chosen = text(value) if isinstance(choices, CategoricalDistribution) else value
        number = choices.to_internal_repr(chosen)
    except (TypeError, ValueError):
        return None
    return choices.to_external_repr(number) if choices._contains(number) else None


def text(value: object) -> str:
    """Write a value as on the command line, lists and mappings as JSON.

    :raises TypeError: where it is no plain value, list or mapping.
    """
    return value if isinstance(value, str) else json.dumps(value)
