"""Finding, loading and checking plugins.

Entry points are loaded one by one: one that fails is kept with its error and everything else goes
on. ``LIGHTREC_LOAD_PLUGINS`` names the only distributions or entry points to load,
``LIGHTREC_DISABLED_PLUGINS`` those to leave out; both are separated by commas.
"""

import difflib
import importlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lightrec import contracts, hookspecs
from lightrec.errors import LightrecError, PluginError, UnusablePart, failure, line_in, warn
from lightrec.moved import hint

ENTRY_POINT_GROUP, PREFIX = "lightrec", "lightrec_"
BUILTIN = "lightrec.builtin"
WORD = re.compile(r"[\w-]+")
_Kind = TypeVar("_Kind")

COMMANDS, RECIPES, NEW_SLOTS = "commands", "recipes", "slots"
"""The slots of functions and of folders, and the hook that adds slots for classes."""
LIST_PARTS = "list_parts"
"""The slot of what a run's lists keep to."""
FREELY_NAMED = ("domains", "readers", "policy_makers", "rankers", LIST_PARTS)
"""Slots whose names are words of the command line, or of recipes. In all others but those of
learners the name is the class's own."""
LEARNER = "lightrec.learners.algorithms:Learner"
"""The base class of learners of policies. In every slot for them they go by their losses' names."""


@dataclass(frozen=True)
class Part:
    """A class, a command or a set of recipes that some plugin provides.

    :param name: the short name used in recipes and on the command line.
    :param slot: one of ``hookspecs.SLOTS`` or of a package's own, ``commands`` or ``recipes``.
    :param path: ``package.module:Class``, ``package.module:function``, or a folder.
    :param distribution: the installed distribution that provides it, with its version.
    :param base: what a class of the slot is derived from, as ``package.module:Class``.
    :param written_for: the version of the API that its package states; None where it states none.
    """

    name: str
    slot: str
    path: str
    distribution: str
    base: str = ""
    written_for: int | None = None

    def load(self) -> Any:
        """Import the class or function and check it; for recipes, give the folder.

        :raises UnusablePart: where it cannot be used, with the reason.
        """
        if self.slot == RECIPES:
            return Path(self.path)
        loaded = self._import(self.path)
        whose = f"{self.path} of {self.distribution}"
        if self.slot == COMMANDS:
            if not inspect.isfunction(loaded):
                raise UnusablePart(f"{whose} stands among the commands, but is no function.")
            return loaded
        if not (isinstance(loaded, type) and issubclass(loaded, self._import(self.base))):
            raise UnusablePart(
                f"{whose} stands among the {self.slot}, but is not a subclass of {self.base}. "
                "Derive it from that class."
            )
        if outdated := contracts.outdated(loaded, self.written_for):
            raise UnusablePart(f"{whose} cannot be used: {outdated}")
        if inspect.isabstract(loaded):
            missing = ", ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
            raise UnusablePart(
                f"{whose} is abstract: it lacks {missing}. Define this in the class, as a method, "
                "an attribute or a property; what only `__init__` sets does not count."
            )
        free = self.slot in FREELY_NAMED or self.base == LEARNER
        if not free and loaded.__name__ != self.name:
            raise UnusablePart(
                f"{whose} is called {self.name!r} among the {self.slot}, but recipes find a class "
                f"by its own name. Call it {loaded.__name__!r} in lightrec_{self.slot}."
            )
        return loaded

    def made(self, *arguments: Any) -> Any:
        """Make an object of the class, which nobody gives settings.

        :raises PluginError: where the class cannot be used, or takes something else.
        """
        kind = self.load()
        given = f"of {', '.join(map(repr, arguments))}" if arguments else "without settings"
        try:
            return kind(*arguments)
        except (LightrecError, MemoryError):
            raise
        except Exception as error:
            owner = f"{kind.__name__} of {self.distribution}"
            raise failure(owner, f"be made {given}", kind, error) from error

    def _import(self, path: str) -> Any:
        module, _, name = path.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except Exception as error:
            what, hook = f"{path} of {self.distribution}, named in its {self.slot}", self.slot
            if path == self.base:  # which another package may have given
                what, hook = f"{path}, from which all {self.slot} are derived", NEW_SLOTS
            where = line_in(module, error) or f"correct the path in lightrec_{hook}"
            raise UnusablePart(
                f"{what}, cannot be imported: {type(error).__name__}: {error} ({where})."
            ) from error


@dataclass(frozen=True)
class Package:
    """A distribution with an entry point for lightrec, which names a module with hooks."""

    name: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()

    @property
    def names(self) -> set[str]:
        """Names of the package in commands and environment variables."""
        return {self.name, self.entry_point, str(self)}


@dataclass
class Plugins:
    """All plugins that were found.

    :param packages: those that were looked at, broken ones included, lightrec itself first.
    :param parts: classes, commands and recipe sets, in slots by short name.
    :param broken: packages that could not be used, each with one sentence.
    :param refused: parts that could not be taken because their name was, by slot and name.
    """

    packages: list[Package] = field(default_factory=list)
    parts: dict[str, dict[str, Part]] = field(
        default_factory=lambda: {slot: {} for slot in (*hookspecs.SLOTS, COMMANDS, RECIPES)}
    )
    broken: dict[str, str] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def complaints(self) -> list[str]:
        """One sentence for each package that is broken and each part that was refused."""
        return [*self.broken.values(), *self.refused.values()]

    def package(self, name: str) -> Package | None:
        """Find a package by its own name or its entry point's, or None."""
        return next((package for package in self.packages if name in package.names), None)

    @property
    def every_part(self) -> list[Part]:
        """All parts of all slots."""
        return [part for slot in self.parts.values() for part in slot.values()]

    def parts_of(self, package: Package) -> list[Part]:
        """The parts that a package provides."""
        return [part for part in self.every_part if part.distribution == str(package)]

    def get(self, slot: str, name: str) -> Part:
        """Find a part by its short name.

        :raises PluginError: where there is none; names those that there are.
        """
        if name in self.parts[slot]:
            return self.parts[slot][name]
        if (slot, name) in self.refused:
            raise PluginError(self.refused[slot, name])
        names = ", ".join(sorted(self.parts[slot])) or "none"
        broken = "".join(f" {sentence}" for sentence in self.broken.values())
        raise PluginError(
            f"There is no {name!r} among the {slot}. Installed are: {names}."
            f"{hint(name) or ' Install the package that provides it, or correct the name.'}{broken}"
        )

    def load_all(self, named: str | None = None) -> list[str]:
        """Import every class and command, and give one sentence for each that cannot be used.

        :param named: settings as one text: only classes whose names stand in it.
        """
        words = None if named is None else {*WORD.findall(named)}
        problems = []
        for part in self.every_part:
            if words is not None and (not part.base or part.name not in words):
                continue
            try:
                part.load()
            except PluginError as error:
                problems.append(str(error))
        return problems


def discover(entry_points: Iterable[metadata.EntryPoint] | None = None) -> Plugins:
    """Find all plugins without importing any of their classes.

    :param entry_points: those to look at; by default the installed ones of the group ``lightrec``.
    """
    core = Package("lightrec", metadata.version("lightrec"), "lightrec", BUILTIN)
    plugins, modules = Plugins([core]), {core: importlib.import_module(BUILTIN)}
    if entry_points is None:
        entry_points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    for entry_point in sorted(entry_points, key=lambda point: (point.value, point.name)):
        dist = entry_point.dist
        whose = (dist.name, dist.version) if dist else (entry_point.name, "")
        package = Package(*whose, entry_point.name, entry_point.value)
        if _selected(package):
            plugins.packages.append(package)
            with _keeping(plugins, package):
                modules[package] = _checked(entry_point.load(), package)
    bases, parts = dict(hookspecs.SLOTS), list[Part]()
    for package, module in modules.items():  # first: who fills a slot may stand before who adds it
        if hook := getattr(module, PREFIX + NEW_SLOTS, None):
            with _keeping(plugins, package):
                bases |= _new_slots(hook(), package, bases)
    for package, module in modules.items():
        if str(package) not in plugins.broken:
            with _keeping(plugins, package):
                parts += _parts(module, package, bases)
    if str(core) in plugins.broken:
        raise PluginError(plugins.broken[str(core)])
    plugins.parts |= {slot: {} for slot in bases.keys() - plugins.parts.keys()}
    _sort_out(plugins, parts, str(core))
    return plugins


@contextmanager
def _keeping(plugins: Plugins, package: Package) -> Iterator[None]:
    """Keep a package's error, and let all others continue."""
    try:
        yield
    except PluginError as error:
        plugins.broken[str(package)] = str(error)
    except Exception as error:
        plugins.broken[str(package)] = (
            f"The plugin {package} cannot be loaded from {package.module}: "
            f"{type(error).__name__}: {error}"
        )


def _selected(package: Package) -> bool:
    allowed, blocked = (
        {name.strip() for name in os.environ.get(variable, "").split(",")}
        for variable in ("LIGHTREC_LOAD_PLUGINS", "LIGHTREC_DISABLED_PLUGINS")
    )
    all_allowed = "LIGHTREC_LOAD_PLUGINS" not in os.environ
    return (all_allowed or bool(package.names & allowed)) and not package.names & blocked


def _checked(module: ModuleType, package: Package) -> ModuleType:
    """See that a module was not written for a later version of the API."""
    stated, newest = getattr(module, "LIGHTREC_API", None), hookspecs.API_VERSION
    if stated is not None and (type(stated) is not int or not 1 <= stated <= newest):
        raise PluginError(
            f"The plugin {package} states LIGHTREC_API = {stated!r}, and this lightrec has the "
            f"versions 1 to {newest} of its API. Install a later lightrec, or a release of "
            f"{package.name} for this one; in a package of your own, state a version that there is."
        )
    return module


def _new_slots(result: Any, package: Package, bases: Mapping[str, str]) -> dict[str, str]:
    added = {part.name: part.path for part in _parts_of_hook(result, NEW_SLOTS, package, bases)}
    if taken := added.keys() & {*bases, COMMANDS, RECIPES, NEW_SLOTS}:
        raise PluginError(f"The plugin {package} adds the slot {min(taken)!r}, which is taken.")
    return added


def _parts(module: ModuleType, package: Package, bases: Mapping[str, str]) -> list[Part]:
    """Call a package's hooks, which must all be known, marked, and without arguments."""
    slots, parts = [*bases, NEW_SLOTS, COMMANDS, RECIPES], list[Part]()
    for name, hook in vars(module).items():
        marked, slot = hasattr(hook, hookspecs.MARK), name.removeprefix(PREFIX)
        if inspect.ismodule(hook) or not (marked or name.startswith(PREFIX)):
            continue
        if slot not in slots or slot == name:
            near = difflib.get_close_matches(slot, slots, n=1)
            every = ", ".join(PREFIX + each for each in slots)
            mend = f"Call it {PREFIX}{near[0]}." if near else f"The hooks are {every}."
            raise PluginError(f"{package} implements {name}, and there is no such hook. {mend}")
        if not marked:
            raise PluginError(
                f"The plugin {package} defines {name} without the mark of a hook, so that nobody "
                "calls it. Write @hookimpl above it, or put gives() around what it is."
            )
        if inspect.signature(hook).parameters:
            raise PluginError(
                f"The hook {name} of the plugin {package} cannot be used: it takes arguments."
            )
        if slot != NEW_SLOTS:
            parts += _parts_of_hook(hook(), slot, package, bases)
    stated = getattr(module, "LIGHTREC_API", None)
    return [replace(part, written_for=stated) for part in parts]


def _parts_of_hook(
    result: Any, slot: str, package: Package, bases: Mapping[str, str]
) -> list[Part]:
    gave, pairs = f"lightrec_{slot} of the plugin {package} ", list[tuple[str, str]]()
    if slot == RECIPES:
        if not isinstance(result, list | tuple):
            raise PluginError(f"{gave}returned {result!r}. Return a list of folders.")
        if missing := [folder for folder in map(Path, result) if not folder.is_dir()]:
            raise PluginError(
                f"{gave}names {missing[0]}, and there is no such folder. Check that the package's "
                "build takes its recipes along."
            )
        for root in map(Path, result):
            sets = [path for path in sorted(root.iterdir()) if any(path.glob("*.yaml"))]
            if not sets:
                raise PluginError(
                    f"{gave}names {root}, and no folder in it holds a file *.yaml. Name the folder "
                    "around the sets of recipes."
                )
            pairs += [(path.name, str(path)) for path in sets]
    elif isinstance(result, Mapping) and all(isinstance(t, str) for i in result.items() for t in i):
        pairs = [*result.items()]
        for name, path in pairs:
            if path.count(":") != 1:
                raise PluginError(
                    f"{gave}gives {name!r} the import path {path!r}. Write it as "
                    "package.module:Class."
                )
    else:
        raise PluginError(
            f"{gave}returned {result!r}. Return short names and import paths: "
            '{"ShortName": "package.module:Class"}.'
        )
    return [Part(name, slot, path, str(package), bases.get(slot, "")) for name, path in pairs]


def _sort_out(plugins: Plugins, parts: list[Part], core: str) -> None:
    """Each name to one part. lightrec's own keeps it; among others nobody has it."""
    claims: dict[tuple[str, str], dict[str, Part]] = {}
    for part in parts:
        claims.setdefault((part.slot, part.name), {}).setdefault(part.path, part)
    for (slot, name), rivals in claims.items():
        first, *others = rivals.values()
        kept = not others or first.distribution == core
        if kept:
            plugins.parts[slot][name] = first
        if others:
            who = " and ".join(f"{part.distribution} ({part.path})" for part in rivals.values())
            end = "lightrec's own is used; give the other one another name"
            if not kept:
                end = "neither can be used until one is uninstalled or left out with "
                end += "LIGHTREC_DISABLED_PLUGINS"
            plugins.refused[slot, name] = (
                f"The name {name!r} among the {slot} is taken: {who} both give it, and {end}."
            )


def load_parts(settings: object) -> None:
    """Import the classes that settings name by short name; warn of those that cannot be used.

    A parser finds a class by its short name among those that are imported.

    :param settings: in any form whose text holds the names.
    """
    for sentence in installed().load_all(str(settings)):
        warn(sentence)


def subclasses(base: type[_Kind]) -> Iterator[type[_Kind]]:
    """List a class and its subclasses, of those with one name the last defined first."""
    for child in reversed(base.__subclasses__()):
        yield from subclasses(child)
    yield base


@lru_cache(maxsize=1)
def installed() -> Plugins:
    """The installed plugins, discovered once a process."""
    return discover()
