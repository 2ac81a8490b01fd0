"""The contract of plugins: the package itself, and then each part that it provides."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lightrec import plugins
from lightrec.errors import LightrecError, PluginError
from lightrec.plugins import COMMANDS, RECIPES, Package, Part
from lightrec.testing.contract import Check, DoesNotApply, Faults, checks_of, promise, run_python
from lightrec.testing.data import DomainChecks, EvaluatorChecks, ReaderChecks
from lightrec.testing.invariants import PartChecks
from lightrec.testing.models import EncoderChecks, RewardChecks, TowerChecks
from lightrec.testing.policies import PolicyChecks
from lightrec.testing.simulators import SimulatorChecks
from lightrec.testing.supplies import Supplies

HEAVY = ("torch", "transformers", "lightning", "polars", "tensordict", "torchrl", "matplotlib")
"""What a hook module may not import."""

KINDS: tuple[type[PartChecks], ...] = (
    DomainChecks,
    EncoderChecks,
    EvaluatorChecks,
    PolicyChecks,
    ReaderChecks,
    RewardChecks,
    SimulatorChecks,
    TowerChecks,
)


def plugin_checks(name: str) -> list[Check]:
    """Give the checks of an installed plugin and of all its parts.

    :param name: of its distribution or its entry point, such as ``lightrec-hello`` or ``hello``.
    """
    found = plugins.installed()
    package = found.package(name)
    if package is None:
        return checks_of(name, (installed,), name)
    if str(package) in found.broken:
        return checks_of(package.name, (usable,), package)
    checks = checks_of(package.name, PACKAGE_CHECKS, package)
    supplies = Supplies()
    for part in found.parts_of(package):
        if part.slot == RECIPES:
            checks += checks_of(f"{part.name}-recipes", (recipes,), part)
            continue
        checks += checks_of(part.name, (loads,), part)
        try:
            part.load()
        except PluginError:
            continue  # as the check says
        if part.slot == COMMANDS:
            checks += checks_of(part.name, (docstring,), part)
            continue
        own = (*PART_CHECKS, own_name) if part.slot == "domains" else PART_CHECKS
        checks += [*checks_of(part.name, own, part), *_contract(part, supplies)]
    return checks


@promise("Install it, or correct the name; its pyproject.toml names the entry point.")
def installed(name: str) -> Faults:
    """A plugin is an installed package with an entry point in the group `lightrec`."""
    known = ", ".join(sorted(package.name for package in plugins.installed().packages))
    yield f"There is none called {name!r} among {known}."


@promise("Correct its hook module as this says.")
def usable(package: Package) -> Faults:
    """A plugin's hook module can be imported, and all its hooks exist and give what they must."""
    if broken := plugins.installed().broken.get(str(package)):
        yield broken


@promise(f"Write `LIGHTREC_API = {plugins.hookspecs.API_VERSION}` in it.")
def api_version(package: Package) -> Faults:
    """A hook module states the version of the hooks that it was written for."""
    found = getattr(import_module(package.module), "LIGHTREC_API", None)
    if not isinstance(found, int):
        yield f"LIGHTREC_API in {package.module} is {found!r}."


@promise("Choose another name, and call the class so too.")
def names_free(package: Package) -> Faults:
    """The names of a plugin's parts are nobody else's."""
    found = plugins.installed()
    own = {(part.slot, part.name) for part in found.parts_of(package)}
    for place, sentence in found.refused.items():
        if f" {package} (" in sentence and place not in own:
            yield sentence


@promise(
    "Give classes as `package.module:Class`, and import nothing that they need, neither in the "
    "hook module nor in the package's `__init__.py`."
)
def light_import(package: Package) -> Faults:
    """A hook module can be imported in a process of its own, and imports nothing heavy, so that
    listing plugins is instant.
    """
    code = (
        f"import sys; before = set(sys.modules); import {package.module}; "
        f"print(*(set({HEAVY}) & (set(sys.modules) - before)))"
    )
    printed, error = run_python(code)
    if error:
        yield f"There it raised {error}."
    if heavy := printed.split():
        yield f"{package.module} imports {', '.join(sorted(heavy))}."


PACKAGE_CHECKS = (usable, api_version, names_free, light_import)


@promise("Correct the class, or its path in the hook.")
def loads(part: Part) -> Faults:
    """A part is a complete class of its slot's base, called by its name."""
    try:
        part.load()
    except PluginError as error:
        yield str(error)


@promise("Say in a line what it does, and name its arguments as `:param name: …`.")
def docstring(part: Part) -> Faults:
    """A part's class, or a command's function, has a docstring, which `lightrec plugins show` and
    `--help` print.
    """
    text = part.load().__doc__ if part.slot == COMMANDS else vars(part.load()).get("__doc__")
    if not (text or "").strip():
        yield f"{part.path} has none."


@promise("Annotate every argument, and build what is not plain inside the constructor.")
def constructor(part: Part) -> Faults:
    """Every argument of a part's constructor has a type, so that recipes can check it, and its
    default is plain: a number, a string, a bool, None, or lists and dictionaries of these.
    """
    for argument in _arguments(part.load()):
        if argument.annotation is argument.empty:
            yield f"In {part.path}, {argument.name} has no type."
        if argument.default is not argument.empty and not _is_plain(argument.default):
            yield f"In {part.path}, {argument.name} has the default {argument.default!r}."


@promise("Write the same in both places.")
def own_name(part: Part) -> Faults:
    """A domain's `name` is the name under which the hook gives it."""
    if (name := part.load().name) != part.name:
        yield f"The hook gives {part.name!r}, and the class calls itself {name!r}."


PART_CHECKS = (docstring, constructor)


@promise("Correct these files; `lightrec recipes copy` gives ones to compare with.")
def recipes(part: Part) -> Faults:
    """A set of recipes is a folder of YAML files, each of them a mapping of settings that its
    stage has.
    """
    faults = map(_fault_of_recipe, sorted(Path(part.path).glob("*.yaml")))
    if found := " ".join(filter(None, faults)):
        yield found


def _fault_of_recipe(path: Path) -> str:
    """Say what is wrong in a recipe, with the line where one setting is to blame; or nothing."""
    from lightrec.settings import ALL_SETTINGS
    from lightrec.stages import recipes as files
    from lightrec.stages.run import check
    from lightrec.stages.stage import Stage

    try:
        if not files.read(path):
            return f"{path} is empty."
        whole = files.load(str(path.parent))
        if whole.overlay:
            whole = files.load("generic", [str(path.parent)])
        out = Path("runs") / path.parent.name / path.stem
        for name in [*whole.recipes] if path.name == files.SET else [path.stem]:
            check(Stage(name, whole.resolved(name), out))
    except LightrecError as error:
        said = " ".join(str(error).removesuffix(ALL_SETTINGS).split())
        place = _place(path, said)
        return said if place == str(path) and place in said else f"{place}: {said}"
    return ""


def _place(path: Path, said: str) -> str:
    """Name a recipe, and the line of what a message quotes, where that stands in just one."""
    for pattern, end in _QUOTED:
        if found := pattern.search(said):
            word = re.compile(rf"(?<![\w.]){re.escape(found[1])}{end}")
            lines = path.read_text(encoding="utf-8").splitlines()
            where = [number for number, line in enumerate(lines, start=1) if word.search(line)]
            if len(where) == 1:
                return f"{path}, line {where[0]}"
    return str(path)


_QUOTED = (
    (re.compile(r"no setting '(\w+)"), r"\s*:"),
    (re.compile(r"(?:The setting |Parser key \")(?:\w+\.)*(\w+)"), r"\s*:"),
    (re.compile(r"no class '([\w.]+)'"), r"\b"),
)
"""What complaints of settings quote, and what follows it in a recipe."""


def _contract(part: Part, supplies: Supplies) -> list[Check]:
    """Give the checks of a part's base class, as far as the kit can build the part."""
    cls = part.load()
    kind: Any = next((kind for kind in KINDS if issubclass(cls, kind.base)), None)
    if kind is None:
        return []
    given = supplies.of(part.slot)
    required = [a.name for a in _arguments(cls) if a.default is a.empty]
    required = [name for name in required if name not in kind.passes]
    if lacking := [name for name in required if name not in given]:
        return [Check(part.name, "contract", partial(_needs, part, lacking, kind))]
    make = partial(_build, cls, {n: given[n] for n in required}) if required else cls
    return list(kind(make, *supplies.further(part), part=part.name))


def _needs(part: Part, lacking: list[str], kind: type[PartChecks]) -> None:
    arguments = [a.name for a in _arguments(kind) if a.default is a.empty]
    raise DoesNotApply(
        f"It needs {', '.join(lacking)}; run {kind.__name__}({', '.join(arguments)}) in the "
        f"package's own tests, where `make` builds {part.name}."
    )


def _build(cls: type, given: Mapping[str, Callable[[], Any]], *batch_size: int) -> Any:
    arguments = {name: supply() for name, supply in given.items()}
    if batch_size and "batch_size" in arguments:
        arguments["batch_size"] = batch_size[0]
    return cls(**arguments)


def _arguments(cls: type) -> list[inspect.Parameter]:
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = list(signature.parameters.values())[1:]
    return [argument for argument in arguments if argument.kind not in several]


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
