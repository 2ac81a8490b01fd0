"""The contract of plugins: the package itself, and then each part that it provides."""

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from lightrec import plugins
from lightrec.errors import LightrecError, PluginError
from lightrec.plugins import COMMANDS, RECIPES, Package, Part
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, run_all
from lightrec.testing.supplies import Supplies

HEAVY = ("torch", "transformers", "lightning", "polars", "tensordict", "torchrl", "matplotlib")
"""What a hook module may not import."""


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
        if not _loads(part):
            continue
        if part.slot == COMMANDS:
            checks += checks_of(part.name, (docstring,), part)
            continue
        checks += checks_of(part.name, PART_CHECKS, part)
        if part.slot == "components":
            continue
        if part.slot == "domains":
            checks += checks_of(part.name, (own_name,), part)
        checks += _contract(part, supplies)
    return checks


def check_plugin(name: str) -> None:
    """Run all checks of an installed plugin and of its parts.

    :raises ContractError: that lists all that failed.
    """
    run_all(plugin_checks(name))


def installed(name: str) -> None:
    """The plugin is there."""
    known = ", ".join(sorted(package.name for package in plugins.installed().packages))
    expect(
        False,
        "A plugin is an installed package with an entry point in the group `lightrec`.",
        f"There is none called {name!r} among {known}.",
        f"Install it, or correct the name; if it is installed, look for "
        f"`[project.entry-points.{plugins.ENTRY_POINT_GROUP}]` in its pyproject.toml.",
    )


def usable(package: Package) -> None:
    """The hook module can be imported, and all its hooks exist."""
    broken = plugins.installed().broken.get(str(package))
    expect(
        broken is None,
        "A plugin's hook module can be imported, and all its hooks exist and give what they must.",
        str(broken),
        f"Mend {package.module} as this says.",
    )


def api_version(package: Package) -> None:
    """The plugin says which hooks it was written for."""
    found = getattr(import_module(package.module), "LIGHTREC_API", None)
    expect(
        isinstance(found, int),
        "A hook module states the version of the hooks that it was written for.",
        f"LIGHTREC_API in {package.module} is {found!r}.",
        f"Write `LIGHTREC_API = {plugins.hookspecs.API_VERSION}` in it.",
    )


def names_free(package: Package) -> None:
    """No part was refused because another has its name."""
    found = plugins.installed()
    own = {(part.slot, part.name) for part in found.parts_of(package)}
    taken = [
        sentence
        for place, sentence in found.refused.items()
        if f" {package} (" in sentence and place not in own
    ]
    expect(
        not taken,
        "The names of a plugin's parts are nobody else's.",
        " ".join(taken),
        "Choose another name, and call the class so too.",
    )


def light_import(package: Package) -> None:
    """Listing plugins stays instant."""
    code = (
        f"import sys; before = set(sys.modules); import {package.module}; "
        f"print(*(set({HEAVY}) & (set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    expect(
        not done.returncode,
        "A hook module can be imported in a process of its own.",
        f"There it raised {(done.stderr.strip().splitlines() or ['nothing'])[-1]}.",
        f"Import in {package.module} all that it uses, and nothing that is not installed.",
    )
    heavy = done.stdout.split()
    expect(
        not heavy,
        "A hook module imports nothing heavy, so that listing plugins is instant.",
        f"{package.module} imports {', '.join(sorted(heavy))}.",
        "Give classes as `package.module:Class`, and import nothing that they need, neither here "
        "nor in the package's `__init__.py`.",
    )


PACKAGE_CHECKS = (usable, api_version, names_free, light_import)


def loads(part: Part) -> None:
    """The class can be imported, has the right base, is concrete and called by its name."""
    try:
        part.load()
    except PluginError as error:
        expect(
            False,
            f"{part.path} is a complete class for {part.slot}.",
            str(error),
            f"Mend the class, or correct its path in `lightrec_{part.slot}`.",
        )


def docstring(part: Part) -> None:
    """The class says what it does, on the command line too."""
    text = part.load().__doc__ if part.slot == COMMANDS else part.load().__dict__.get("__doc__")
    expect(
        (text or "").strip(),
        "A part's class, or a command's function, has a docstring, which "
        "`lightrec plugins show` and `--help` print.",
        f"{part.path} has none.",
        "Say in a line what it does, and name its arguments as `:param name: …`.",
    )


def constructor(part: Part) -> None:
    """Recipes can give every argument, and show every default."""
    bad = []
    for argument in _arguments(part.load()):
        if argument.annotation is argument.empty:
            bad.append(f"{argument.name} has no type")
        if argument.default is not argument.empty and not _is_plain(argument.default):
            bad.append(f"{argument.name} has the default {argument.default!r}")
    expect(
        not bad,
        "Every argument of a part's constructor has a type, and its default is plain: a number, a "
        "string, a bool, None, or lists and dictionaries of these.",
        f"In {part.path}, {'; '.join(bad)}.",
        "Annotate every argument, so that recipes can check it, and build what is not plain inside "
        "the constructor.",
    )


def own_name(part: Part) -> None:
    """A domain is called on the command line as it calls itself."""
    name = part.load().name
    expect(
        name == part.name,
        "A domain's `name` is the name under which the hook gives it.",
        f"The hook gives {part.name!r}, and the class calls itself {name!r}.",
        "Write the same in both places.",
    )


PART_CHECKS = (docstring, constructor)


def recipes(part: Part) -> None:
    """Every recipe can be read, says something, and holds settings that there are."""
    folder = Path(part.path)
    bad = [_fault_of_recipe(path) for path in sorted(folder.glob("*.yaml"))]
    expect(
        not any(bad),
        "A set of recipes is a folder of YAML files, each of them a mapping of settings that its "
        "stage has.",
        " ".join(filter(None, bad)),
        "Correct these files; `lightrec recipes copy` gives ones to compare with.",
    )


def _fault_of_recipe(path: Path) -> str:
    """Say what is wrong in a recipe, with the line where one setting is to blame; or nothing."""
    from lightrec.stages import recipes as files
    from lightrec.stages.complaints import ALL_SETTINGS
    from lightrec.stages.run import check
    from lightrec.stages.stage import Stage

    try:
        if not files.read(path):
            return f"{path} is empty."
        check(Stage(path.stem, path, Path("runs") / path.parent.name / path.stem))
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
    singular = {"policies": "policy"}.get(part.slot, part.slot.removesuffix("s"))
    module = import_module(f"lightrec.testing.{part.slot}")
    checks: Callable[..., list[Check]] = getattr(module, f"{singular}_checks")
    given = supplies.of(part.slot)
    required = [a for a in _arguments(cls) if a.default is a.empty]
    lacking = [a.name for a in required if a.name not in given]
    if lacking:
        return [
            Check(part.name, "contract", partial(_needs, part, lacking, checks.__name__)),
        ]
    make = partial(_build, cls, {a.name: given[a.name] for a in required})
    return checks(make, *supplies.further(part), part=part.name)


def _loads(part: Part) -> bool:
    try:
        part.load()
    except PluginError:
        return False
    return True


def _needs(part: Part, lacking: list[str], checks: str) -> None:
    given = {"evaluators": "make, run", "readers": "make, path"}.get(part.slot, "make")
    raise DoesNotApply(
        f"It needs {', '.join(lacking)}; run {checks}({given}) in the package's own tests, where "
        f"`make` builds {part.name}."
    )


def _build(cls: type, given: dict[str, Callable[[], Any]], *batch_size: int) -> Any:
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
