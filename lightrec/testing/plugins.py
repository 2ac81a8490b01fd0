"""The contract of plugins: the package itself, and then each part that it provides."""

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any

from lightrec import plugins
from lightrec.errors import LightrecError, PluginError
from lightrec.plugins import COMMANDS, RECIPES, Part
from lightrec.policies.baselines import GreedyRankerPolicy
from lightrec.rewards.accepted import EngagementReward
from lightrec.settings import ALL_SETTINGS
from lightrec.stages import recipes as files
from lightrec.stages.run import check
from lightrec.stages.stage import Stage
from lightrec.testing import modules, policies, simulators, tables, tiny
from lightrec.testing.contract import Check, DoesNotApply, Faults, checks_of, promise, run_python
from lightrec.testing.invariants import PartChecks

HEAVY = ("torch", "transformers", "lightning", "polars", "tensordict", "torchrl", "matplotlib")
"""Packages that a hook module may not import."""

KINDS: tuple[type[PartChecks], ...] = tuple(
    kind
    for module in (tables, modules, policies, simulators)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, PartChecks) and hasattr(kind, "base")
)
"""The contracts, each with the base class of the parts that must keep it."""

SUPPLIES: dict[str, Callable[[], Any]] = {
    "num_items": lambda: tiny.NUM_ITEMS,
    "vector_size": lambda: tiny.VECTOR_SIZE,
    "history_length": lambda: tiny.HISTORY_LENGTH,
    "batch_size": lambda: 4,
    "user_model": tiny.tiny_user_model,
    "starts": tiny.tiny_starts,
    "ranker": tiny.tiny_ranker,
    "policy": lambda: GreedyRankerPolicy(tiny.tiny_ranker()),
    "reward": EngagementReward,
    "parts": lambda: [EngagementReward(), EngagementReward()],
}
"""Arguments that the kit gives to constructors, by the names of their required arguments."""


def plugin_checks(name: str) -> list[Check]:
    """The checks of an installed plugin and of all its parts.

    :param name: of its distribution or its entry point, such as ``lightrec-hello`` or ``hello``.
    """
    installed = plugins.installed()
    package = installed.package(name)
    if package is None or str(package) in installed.broken:
        return checks_of(name, (usable,), name)
    checks = checks_of(package.name, (usable, hook_module), name)
    for part in installed.parts_of(package):
        if part.slot == RECIPES:
            checks += checks_of(f"{part.name}-recipes", (recipes,), part)
            continue
        try:
            part.load()
        except PluginError:
            continue  # as `usable` says
        checks += checks_of(part.name, (described,), part)
        if part.slot != COMMANDS:
            checks += _contract(part)
    return checks


@promise("Correct this; where the package is not there, install it.")
def usable(name: str) -> Faults:
    """A plugin is an installed package with an entry point in the group `lightrec`. Its hooks exist
    and give free names of complete classes, each with the base class of its slot.
    """
    installed = plugins.installed()
    package = installed.package(name)
    if package is None:
        names = ", ".join(sorted(package.name for package in installed.packages))
        yield f"There is none called {name!r} among {names}."
        return
    if broken := installed.broken.get(str(package)):
        yield broken
    parts = installed.parts_of(package)
    provided = {(part.slot, part.name) for part in parts}
    for place, sentence in installed.refused.items():
        if f" {package} (" in sentence and place not in provided:
            yield sentence
    for part in parts:
        try:
            part.load()
        except PluginError as error:
            yield str(error)


@promise(
    f"Write `LIGHTREC_API = {plugins.hookspecs.API_VERSION}` in it, give classes as "
    "`package.module:Class`, and import what they need in their own modules."
)
def hook_module(name: str) -> Faults:
    """A hook module states the version of the hooks that it was written for, and imports nothing
    heavy, nor does its package, so that listing plugins is instant.
    """
    package = plugins.installed().package(name)
    assert package is not None
    version = getattr(import_module(package.module), "LIGHTREC_API", None)
    if not isinstance(version, int):
        yield f"LIGHTREC_API in {package.module} is {version!r}."
    code = (
        f"import sys; before = set(sys.modules); import {package.module}; "
        f"print(*sorted(set({HEAVY}) & (set(sys.modules) - before)), sep=', ')"
    )
    printed, error = run_python(code)
    if error or printed.strip():
        yield f"Alone, {package.module} {error or f'imports {printed.strip()}'}."


@promise(
    "Say in a line what it does, name its arguments as `:param name: …`, annotate them, and build "
    "what is not plain inside the constructor. Write a domain's name as in the hook."
)
def described(part: Part) -> Faults:
    """A part has a docstring, which `lightrec plugins show` and `--help` print. Every argument of
    its constructor has a type, so that recipes can check it, and a default is plain: a number, a
    string, a bool, None, or lists and dictionaries of these.
    """
    thing, plain = part.load(), (str, int, float, list, tuple, dict, NoneType)
    if not (thing.__doc__ if part.slot == COMMANDS else vars(thing).get("__doc__")):
        yield f"{part.path} has no docstring."
    for argument in () if part.slot == COMMANDS else _arguments(thing):
        if argument.annotation is argument.empty:
            yield f"In {part.path}, {argument.name} has no type."
        if argument.default is not argument.empty and not isinstance(argument.default, plain):
            yield f"In {part.path}, {argument.name} has the default {argument.default!r}."
    if part.slot == "domains" and thing.name != part.name:
        yield f"The hook gives {part.name!r}, and the class calls itself {thing.name!r}."


@promise("Correct these files; `lightrec recipes copy` gives ones to compare with.")
def recipes(part: Part) -> Faults:
    """A set of recipes is a folder of YAML files, each of them a mapping of settings that its
    stage has.
    """
    paths = sorted(Path(part.path).glob("*.yaml"))
    stages = {path.stem for path in paths}
    for path in paths:
        try:
            if not files.read(path):
                yield f"{path} is empty."
            whole = files.load(part.path)
            if whole.overlay:
                whole = files.load("generic", [part.path])
                files.take(whole, path.stem, [part.path])
            others = {name for name in whole.recipes if name not in stages}
            # An overlay may change a stage of a package that is not installed.
            for name in others if path.name == files.SET else {path.stem} & {*whole.recipes}:
                check(Stage(name, whole.resolved(name), Path("runs", part.name, path.stem)))
        except LightrecError as error:
            said = " ".join(str(error).removesuffix(ALL_SETTINGS).split())
            yield said if said.startswith(str(path)) else f"{path}: {said}"


def _contract(part: Part) -> list[Check]:
    """The checks of a part's base class, as far as the kit can build the part."""
    cls = part.load()
    kind: Any = next((kind for kind in KINDS if issubclass(cls, kind.base)), None)
    if kind is None or part.slot == "rankers":  # which belong to a run
        return []
    required = [a.name for a in _arguments(cls) if a.default is a.empty]
    required = [name for name in required if name not in kind.passes]
    of_kind = [a.name for a in _arguments(kind) if a.default is a.empty]
    lacking = [name for name in (*required, *of_kind[1:]) if name not in SUPPLIES]

    def needs() -> None:
        raise DoesNotApply(
            f"It needs {', '.join(lacking)}; run {kind.__name__}({', '.join(of_kind)}) in the "
            f"package's own tests, where `make` builds {part.name}."
        )

    if lacking:
        return [Check(part.name, "contract", needs)]
    return list(kind(partial(_build, cls, required) if required else cls, part=part.name))


def _build(cls: type, required: list[str], *batch_size: int) -> Any:
    arguments = {name: SUPPLIES[name]() for name in required}
    if batch_size and "batch_size" in arguments:
        arguments["batch_size"] = batch_size[0]
    return cls(**arguments)


def _arguments(cls: type) -> list[inspect.Parameter]:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return [argument for argument in arguments if argument.kind not in several]
