"""Finding, loading and checking plugins.

Entry points are loaded one by one: one that fails is kept with its error and everything else goes
on. ``LIGHTREC_LOAD_PLUGINS`` names the only distributions or entry points to load,
``LIGHTREC_DISABLED_PLUGINS`` those to leave out; both are separated by commas.
"""

import importlib
import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from lightrec import hookspecs
from lightrec.errors import PluginError

ENTRY_POINT_GROUP = "lightrec"
BUILTIN = "lightrec.builtin"

SLOTS = {
    "encoders": "lightrec.encoders.base:Encoder",
    "simulators": "lightrec.simulators.base:Simulator",
    "rewards": "lightrec.rewards.base:Reward",
    "policies": "lightrec.policies.base:Policy",
    "evaluators": "lightrec.evaluation.base:Evaluator",
    "domains": "lightrec.data.domain:Domain",
    "readers": "lightrec.data.readers.base:Reader",
}
"""Slots for classes: the base class that a part of the slot must have."""


@dataclass(frozen=True)
class Part:
    """A class that some plugin provides.

    :param name: the short name used in recipes and on the command line.
    :param slot: one of :data:`SLOTS`.
    :param path: ``package.module:Class``.
    :param distribution: the installed distribution that provides it, with its version.
    """

    name: str
    slot: str
    path: str
    distribution: str

    def load(self) -> Any:
        """Import the class and check it.

        :raises PluginError: where it cannot be imported, is abstract or has the wrong base.
        """
        cls = _import(self.path, self)
        base = _import(SLOTS[self.slot], self)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise PluginError(
                f"{self.path} of {self.distribution} stands among the {self.slot}, but is not a "
                f"subclass of {SLOTS[self.slot]}. Derive it from that class."
            )
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise PluginError(
                f"{self.path} of {self.distribution} is abstract: it lacks {missing}. Define them."
            )
        return cls


def _import(path: str, part: Part) -> type:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PluginError(
            f"{path} of {part.distribution}, named in its {part.slot}, cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


@dataclass
class Plugins:
    """All plugins that were found.

    :param parts: every class, in slots by short name.
    :param recipe_folders: folders with recipes; lightrec's own first.
    :param broken: entry points that could not be used, each with one sentence.
    """

    parts: dict[str, dict[str, Part]] = field(default_factory=lambda: {s: {} for s in SLOTS})
    recipe_folders: list[Path] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def get(self, slot: str, name: str) -> Part:
        """Find a part by its short name.

        :raises PluginError: where there is none; names those that there are.
        """
        try:
            return self.parts[slot][name]
        except KeyError:
            known = ", ".join(sorted(self.parts[slot])) or "none"
            broken = "".join(f" {sentence}" for sentence in self.broken.values())
            raise PluginError(
                f"There is no {name!r} among the {slot}. Installed are: {known}. "
                f"Install the package that provides it, or correct the name.{broken}"
            ) from None

    def load_all(self, slots: Iterable[str] = SLOTS) -> list[str]:
        """Import every class of some slots, so that recipes can name them by short name.

        :returns: one sentence for each class that could not be used.
        """
        problems = []
        for slot in slots:
            for part in self.parts[slot].values():
                try:
                    part.load()
                except PluginError as error:
                    problems.append(str(error))
        return problems


def _names(variable: str) -> set[str] | None:
    value = os.environ.get(variable)
    if value is None:
        return None
    return {name.strip() for name in value.split(",") if name.strip()}


def _selected(entry_point: metadata.EntryPoint) -> bool:
    names = {entry_point.name, entry_point.dist.name if entry_point.dist else entry_point.name}
    allowed = _names("LIGHTREC_LOAD_PLUGINS")
    blocked = _names("LIGHTREC_DISABLED_PLUGINS") or set()
    return (allowed is None or bool(names & allowed)) and not names & blocked


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str) -> None:
    """Register one hook module, refusing what pluggy would pass over silently."""
    version = getattr(module, "LIGHTREC_API", hookspecs.API_VERSION)
    if version != hookspecs.API_VERSION:
        raise PluginError(
            f"{name} was written for version {version} of lightrec's hooks, and this lightrec has "
            f"version {hookspecs.API_VERSION}. Install a matching release of {name}."
        )
    manager.register(module, name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        manager.unregister(module)
        raise PluginError(f"{name} implements a hook that does not exist: {error}") from error


def discover(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """Find all plugins without importing any of their classes.

    :param entry_points: those to look at; by default the installed ones of the group ``lightrec``.
    :raises PluginError: where two plugins give different classes the same name in one slot.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    own = f"lightrec {metadata.version('lightrec')}"
    _register(manager, importlib.import_module(BUILTIN), own)
    if entry_points is None:
        entry_points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    for entry_point in entry_points:
        if not _selected(entry_point):
            continue
        dist = entry_point.dist
        name = f"{dist.name} {dist.version}" if dist else entry_point.name
        try:
            _register(manager, entry_point.load(), name)
        except PluginError as error:
            plugins.broken[name] = str(error)
        except Exception as error:
            plugins.broken[name] = (
                f"The plugin {name} could not be loaded: {type(error).__name__}: {error}"
            )
    for slot in SLOTS:
        _collect(manager, plugins, slot)
    for implementation in manager.hook.lightrec_recipes.get_hookimpls():
        plugins.recipe_folders += [Path(folder) for folder in _call(implementation)]
    return plugins


def _call(implementation: pluggy.HookImpl) -> Any:
    # Each implementation is called by itself, because what is merged has lost its origin.
    return implementation.function()


def _collect(manager: pluggy.PluginManager, plugins: Plugins, slot: str) -> None:
    found = plugins.parts[slot]
    for implementation in getattr(manager.hook, f"lightrec_{slot}").get_hookimpls():
        for name, path in _call(implementation).items():
            part = Part(name, slot, path, implementation.plugin_name)
            if name in found and found[name].path != path:
                other = found[name]
                raise PluginError(
                    f"Both {other.distribution} ({other.path}) and {part.distribution} "
                    f"({part.path}) provide {name!r} among the {slot}. Uninstall one of them or "
                    "leave it out with LIGHTREC_DISABLED_PLUGINS."
                )
            found[name] = part


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """Give the installed plugins, discovered once a process."""
    return discover()
