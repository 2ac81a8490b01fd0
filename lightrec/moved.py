"""What has moved to packages beside lightrec, by ``moved.yaml``: new paths, and who provides it.

Recipes, run folders and checkpoints that name an old path keep loading.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from lightrec.errors import warn

_PATH: Final = re.compile(r"\blightrec(?:\.\w+)+[.:]\w+")


@cache
def table() -> dict[str, Any]:
    """The content of ``moved.yaml``."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    return content


@cache
def new_paths() -> dict[str, str]:
    """New paths of classes by their old ones."""
    lines = (line.split() for line in table()["classes"])
    return {f"lightrec.{old}.{n}": f"{new}.{n}" for old, new, *names in lines for n in names}


def moved(value: Any) -> Any:
    """Settings, or a path of a class, with new paths in place of old ones; each is warned of once.

    :param value: text, or mappings and lists of texts; all else stays what it is.
    """
    if isinstance(value, str):
        return _PATH.sub(_new, value)
    if isinstance(value, Mapping):
        return {name: moved(inner) for name, inner in value.items()}
    return [moved(inner) for inner in value] if isinstance(value, list) else value


def _new(path: re.Match[str]) -> str:
    new = new_paths().get(path[0].replace(":", "."))
    if new is not None:
        warn(f"{path[0]} is now {new}, of the package {_package(new)}. Write the new name.")
    return new or path[0]


def is_gone(name: str) -> bool:
    """Whether a setting is gone, which is warned of."""
    instead = table()["gone"].get(name)
    if instead is not None:
        warn(f"The setting {name} is gone, and left out here: {instead}.")
    return instead is not None


def words_left(words: Iterable[str]) -> list[str]:
    """Words of a line without settings that are gone, and without their values."""
    left, gone = [], False
    for word in words:
        if word.startswith("--"):
            gone = is_gone(word[2:].partition("=")[0])
        left += [] if gone else [word]
    return left


def hint(name: str) -> str:
    """Say which package provides what once was lightrec's own; empty where there is none.

    :param name: of a class, with or without its module, of a set of recipes, a loss or a command.
    """
    short = re.split("[.:]", name)[-1]
    packages = [_package(new) for new in new_paths().values() if new.endswith(f".{short}")]
    packages += [package for package, names in table()["others"].items() if name in names]
    if not packages:
        return ""
    package = packages[0]
    folders = " ".join(f"plugins/{each}" for each in (*table()["needed"].get(package, ()), package))
    return f" {short} is part of {package}: `pip install {folders}` in a checkout."


def _package(path: str) -> str:
    return path.partition(".")[0].replace("_", "-")
