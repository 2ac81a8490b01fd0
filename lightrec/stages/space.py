"""What `lightrec tune` searches: settings of a recipe, each with a range or a list of choices.

Plain YAML and plain numbers; Optuna and torch are not needed here.
"""

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from lightrec.errors import DataError, RecipeError

Number = int | float

DEFAULTS: Mapping[str, str] = {
    "ranker": """\
# What `lightrec tune` searches for a ranker, unless --space names another file.
model.init_args.learning_rate: {low: 0.0003, high: 0.01, log: true}
model.init_args.weight_decay: {low: 0.001, high: 0.3, log: true}
model.init_args.size: [32, 64, 128]
model.init_args.tower.init_args.dropout: {low: 0.1, high: 0.6}
model.init_args.tower.init_args.layers: [1, 2, 3]
model.init_args.tower.init_args.feedforward: [1, 2, 4]
"""
}
"""The space of a stage that has one, as the file that a user may write."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    :param low: the lower end.
    :param high: the upper end; where both are whole numbers, all values are.
    :param log: whether values are drawn evenly by their logarithm.
    :param step: from one value to the next; None for any value, or 1 for whole numbers.
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def whole(self) -> bool:
        """Whether values are whole numbers."""
        return isinstance(self.low, int)

    @property
    def extremes(self) -> list[str]:
        """Both ends, as written on the command line."""
        return [text(self.low), text(self.high)]

    def holds(self, value: object) -> Number | None:
        """Give a value where it is in the range, else None."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        inside = self.low <= value <= self.high and (not self.whole or value == int(value))
        if inside and self.step is not None:
            steps = (value - self.low) / self.step
            inside = math.isclose(steps, round(steps), abs_tol=1e-9)
        if not inside:
            return None
        return int(value) if self.whole else float(value)


@dataclass(frozen=True)
class Choices:
    """One of some values of any kind.

    :param texts: the values as written on the command line; lists and mappings as JSON.
    """

    texts: tuple[str, ...]

    @property
    def extremes(self) -> list[str]:
        """All of them."""
        return list(self.texts)

    def holds(self, value: object) -> str | None:
        """Give a value's text where it is one of the choices, else None."""
        try:
            written = text(value)
        except TypeError:
            return None
        return written if written in self.texts else None


Space = dict[str, Range | Choices]
"""Settings such as ``model.init_args.size``, each with what it may be."""


def text(value: object) -> str:
    """Write a value as on the command line.

    :raises TypeError: where it is no plain value, list or mapping.
    """
    return value if isinstance(value, str) else json.dumps(value)


def as_json(space: Space) -> str:
    """Write a space down so that two of them can be compared."""
    return json.dumps({name: asdict(given) for name, given in space.items()})


def default(stage: str) -> str:
    """Give the default space of a stage, as YAML.

    :raises RecipeError: where it has none.
    """
    if stage not in DEFAULTS:
        raise RecipeError(
            f"There is no default space for the stage {stage}, only for {', '.join(DEFAULTS)}. "
            "Name a file with --space; `lightrec tune -c generic/ranker --print-space` shows how "
            "one looks."
        )
    return DEFAULTS[stage]


def read(path: Path) -> Space:
    """Read a space from a file.

    :raises DataError: where it is not to be read or not a space; tells every problem.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The space cannot be read ({error}).", path) from error
    return parse(content, path)


def parse(content: str, source: object) -> Space:
    """Turn YAML into a space.

    :param source: what the problems are told of.
    :raises DataError: where it is no space; tells every problem.
    """
    try:
        given = yaml.safe_load(content)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise DataError(f"The space is not valid YAML: {why}.", source) from error
    if not isinstance(given, dict) or not given:
        raise DataError(
            "The space must be a mapping from settings to what they may be, such as "
            f"'model.init_args.weight_decay: {{low: 0.1, high: 0.5}}', not {given!r}.",
            source,
        )
    space: Space = {}
    problems = []
    for name, values in given.items():
        try:
            space[_setting(name)] = _values(values)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise DataError(problems, source)
    return space


def _setting(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_]\w*(\.[a-z_]\w*)*", name):
        raise ValueError(
            "A setting is named as in the recipe, such as model.init_args.size, without dashes."
        )
    return name


def _values(values: object) -> Range | Choices:
    if isinstance(values, list):
        texts = tuple(text(value) for value in values)
        if len(texts) < 2 or len(set(texts)) < len(texts):
            raise ValueError(
                f"Choices must be two or more, each once, such as [1, 2, 3], not {values!r}."
            )
        return Choices(texts)
    if not isinstance(values, dict):
        raise ValueError(
            "Expected a range such as {low: 0.1, high: 0.5}, or choices such as [1, 2, 3], not "
            f"{values!r}."
        )
    names = {"low", "high", "log", "step"}
    if not {"low", "high"} <= set(values) <= names:
        raise ValueError(
            "A range has low and high, may have log and step, and has nothing else; found were "
            f"{', '.join(map(str, values)) or 'none of these'}."
        )
    low, high = _number(values["low"], "low"), _number(values["high"], "high")
    step = None if values.get("step") is None else _number(values["step"], "step")
    log = values.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, not {log!r}.")
    if isinstance(low, float) or isinstance(high, float):
        low, high = float(low), float(high)
    if not low < high:
        raise ValueError(f"low must be less than high, and {low} is not less than {high}.")
    if log and low <= 0:
        raise ValueError(f"A range with log must begin above 0, not at {low}.")
    if log and step is not None:
        raise ValueError("A range has either log or step, not both. Leave one out.")
    if step is not None and step <= 0:
        raise ValueError(f"step must be above 0, not {step}.")
    if isinstance(low, int) and isinstance(step, float):
        raise ValueError(f"step must be a whole number where low and high are, not {step}.")
    return Range(low, high, log, step)


def _number(value: object, name: str) -> Number:
    # YAML takes 1e-4, without a point, for a word.
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number, not {value!r}.")
    return value
