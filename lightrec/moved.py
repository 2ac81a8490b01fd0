"""What has moved, changed or gone, by ``moved.yaml``: new paths, and which package provides it.

For two minor releases recipes, run folders, checkpoints and modules of other packages find what has
moved by its old name, with a warning that says the new one.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, NamedTuple

from lightrec.errors import warn

_PATH: Final = re.compile(r"\blightrec(?:\.\w+)+[.:]\w+")


@cache
def table() -> dict[str, Any]:
    """The content of ``moved.yaml``."""
    import yaml  # only where something is not found: all that imports lightrec imports this module

    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
    return content


class Change(NamedTuple):
    """A change in the contract of a kind of part, which breaks classes that keep the earlier one.

    :param kind: a slot, or a kind of component such as ``towers``.
    :param version: the version of the API that made it.
    :param base: the class whose contract it is, as ``package.module.Class``.
    :param method: the method that changed, where classes that do not define it are left as they
        were; empty where all are broken.
    :param sentence: what it was and what it is.
    """

    kind: str
    version: int
    base: str
    method: str
    sentence: str


@cache
def changes() -> tuple[Change, ...]:
    """All changes in contracts, as ``moved.yaml`` lists them."""
    return tuple(Change(**each) for each in table()["changed"])


@cache
def new_paths() -> dict[str, str]:
    """New paths of classes and functions by their old ones."""
    paths = {}
    for old_module, new_module, *names in map(str.split, table()["classes"]):
        for old, _, new in (name.partition("=") for name in names):
            paths[f"lightrec.{old_module}.{old}"] = f"{new_module}.{new or old}"
    return paths


def moved(value: Any, where: object = "") -> Any:
    """Settings, or a path of a class, with new paths in place of old ones; each is warned of once.

    :param value: text, or mappings and lists of texts; all else stays what it is.
    :param where: the file that it stands in, as far as that is known.
    """
    if isinstance(value, str):
        return _PATH.sub(lambda path: _new(path[0], where), value)
    if isinstance(value, Mapping):
        return {name: moved(inner, where) for name, inner in value.items()}
    return [moved(inner, where) for inner in value] if isinstance(value, list) else value


def _new(path: str, where: object) -> str:
    new = new_paths().get(path.replace(":", "."))
    if new is not None:
        warn_of(path, f"{new}, of the package {_package(new)}", where)
    return new or path


def warn_of(old: str, new: str, where: object = "") -> None:
    """Warn that an old name is used.

    :param where: the file that says it, as far as that is known.
    """
    warn(f"{old} is now {new}. Write the new name{where and f' in {where}'}.")


def caller() -> str:
    """File and line of the innermost call from outside of lightrec and of Python's imports."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] not in ("lightrec", "importlib", "_frozen_importlib"):
            return f"{frame.f_code.co_filename}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def old_names(module: str) -> Callable[[str], object]:
    """The ``__getattr__`` of a module from which names have moved, or of one that is gone."""

    def attribute(name: str) -> object:
        path = f"{module}.{name}"
        if name.startswith("__") or path not in new_paths():  # imports ask for the former
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, new = _new(path, caller()).rpartition(".")
        try:
            return getattr(import_module(place), new)
        except ModuleNotFoundError as error:
            raise ImportError(f"{place} cannot be imported: {error}.{hint(new)}") from error

    return attribute


class OldModules(MetaPathFinder, Loader):
    """Finds modules that are gone and whose names have moved; asked after all other finders."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """A module without names of its own, for those that ``moved.yaml`` lists."""
        if not fullname.startswith("lightrec."):
            return None
        modules = {old.rpartition(".")[0] for old in new_paths()}
        package = any(module.startswith(f"{fullname}.") for module in modules)
        known = package or fullname in modules
        return ModuleSpec(fullname, self, is_package=package) if known else None

    def exec_module(self, module: ModuleType) -> None:
        """Let the module find its old names."""
        module.__getattr__ = old_names(module.__name__)  # type: ignore[method-assign]


def why_gone(name: str) -> str:
    """Why a setting is gone, or what does it now; empty where it is not gone.

    :param name: of a stage's own, or ``Class.setting``.
    """
    return str(table()["gone"].get(name, ""))


def is_gone(name: str) -> bool:
    """Whether a setting is gone, which is warned of."""
    if instead := why_gone(name):
        warn(f"The setting {name} is gone, and left out here: {instead}.")
    return bool(instead)


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
    places = [new for new in new_paths().values() if new.endswith(f".{short}")]
    packages = [_package(new) for new in places if not new.startswith("lightrec.")]
    packages += [package for package, names in table()["others"].items() if name in names]
    if not packages:
        return ""
    package = packages[0]
    folders = " ".join(f"plugins/{each}" for each in (*table()["needed"].get(package, ()), package))
    return f" {short} is part of {package}: `pip install {folders}` in a checkout."


def _package(path: str) -> str:
    return path.partition(".")[0].replace("_", "-")
