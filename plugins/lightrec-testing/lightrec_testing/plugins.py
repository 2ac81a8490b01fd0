"""The contract of plugins: the package itself, and then each part that it provides, as
`lightrec plugins check` tries them.

Nothing heavy is imported here: to check one part takes what this part needs and no more.
"""

import inspect
import sys
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, Final

import lightrec_testing
from lightrec import plugins
from lightrec.errors import LightrecError, PluginError
from lightrec.plugins import COMMANDS, RECIPES, WORD, Package, Part
from lightrec_testing.contract import (
    AGAIN,
    Check,
    Faults,
    NotChecked,
    checks_of,
    outcomes,
    promise,
    run_python,
)

HEAVY = ("torch", "transformers", "lightning", "polars", "tensordict", "torchrl", "matplotlib")
"""Packages that a hook module may not import."""

KINDS: Final = {
    "lightrec.data.domain:Domain": "DomainChecks",
    "lightrec.data.readers.base:Reader": "ReaderChecks",
    "lightrec.encoders.base:Encoder": "EncoderChecks",
    "lightrec.evaluation.base:Evaluator": "EvaluatorChecks",
    "lightrec.evaluation.named_policies:PolicyMaker": "PolicyMakerChecks",
    "lightrec.learners.algorithms:Learner": "LearnerChecks",
    "lightrec.nn.stage:StageModule": "StageChecks",
    "lightrec.nn.towers:UserTower": "TowerChecks",
    "lightrec.policies.base:Policy": "PolicyChecks",
    "lightrec.ranking.item_models.base:ItemModel": "ItemModelChecks",
    "lightrec.ranking.losses:RankingLoss": "LossChecks",
    "lightrec.rewards.base:Reward": "RewardChecks",
    "lightrec.simulators.base:Simulator": "SimulatorChecks",
    "lightrec.users.choice_model:ChoiceModel": "ChoiceModelChecks",
    "lightrec.users.irl:RewardLearner": "RewardLearnerChecks",
}
"""The contracts of this package by the base class of the parts that must keep them."""
OF_SLOTS: Final = {COMMANDS: "CommandChecks", "rankers": "RankerChecks"}
"""Contracts that parts of a slot keep, whatever they are derived from."""

OF_LOGS: Final = {"context": "kit_context", "evidence": "kit_evidence"}
"""Functions of the kit that make of a domain's log what parts of the same package are tried on."""


def check(name: str, *, part: str | None = None) -> int:
    """Run every check of a package's contracts and print the outcome of each.

    What cannot be imported comes first, then the parts, then the recipes. To load, to be complete
    and to be described counts for nothing but where it fails: it says nothing of what a part does.

    examples:
      lightrec plugins check lightrec-video
      lightrec plugins check video --part NextEpisode

    :param name: such as lightrec-video or video.
    :param part: check this part of the package alone, without the recipes; "recipes video" is
        a set of recipes with the name of a domain.
    """
    marks = {"passed": "ok", "failed": "FAILED", "not applicable": "-", "not checked": "?"}
    counts, tried = dict.fromkeys(marks, 0), dict[str, bool]()
    checks = plugin_checks(name, part)
    left, begun = Counter(check.part for check in checks), time.monotonic()
    for check, status, message in outcomes(checks):
        if check.counts or status == "failed":
            counts[status] += 1
            tried[check.part] = tried.get(check.part, False) or status in ("passed", "failed")
            if not message.startswith(AGAIN):
                said = message and f": {message}"
                print(f"{marks[status]:<7} {check.part}: {check.name}{said}", flush=True)
        left[check.part] -= 1
        if not left[check.part]:
            now = time.monotonic()
            print(f"{check.part} took {now - begun:.1f} s.", file=sys.stderr, flush=True)
            begun = now
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if without := [name for name, was in tried.items() if not was]:
        print(f"Nothing of what these do was checked: {', '.join(without)}. See `-` and `?` above.")
    return 2 if counts["failed"] else 0


def plugin_checks(name: str, part: str | None = None) -> list[Check]:
    """The checks of an installed plugin: what cannot be imported, then its parts, then its recipes.

    :param name: of its distribution or its entry point, such as ``lightrec-hello`` or ``hello``.
    :param part: the short name of the only part to check; ``recipes travel`` for a set of recipes
        of the same name as a domain.
    :raises PluginError: where the plugin has no such part.
    """
    installed = plugins.installed()
    package = installed.package(name)
    if package is None or str(package) in installed.broken:
        return checks_of(name, (usable,), name)
    every = installed.parts_of(package)
    parts = [each for each in every if part in (None, each.name, f"{each.slot} {each.name}")]
    parts = [each for each in parts if part and each.slot != RECIPES] or parts
    if not parts and part is not None:
        several = Counter(each.name for each in every)
        names = [f"{each.slot} " * (several[each.name] > 1) + each.name for each in every]
        there = ", ".join(sorted(names)) or "none"
        raise PluginError(f"{package} has no part called {part!r}. Its parts are: {there}.")
    failures, broken = dict[str, list[str]](), set[str]()
    for each in parts:
        try:
            each.load()
        except PluginError as error:
            broken.add(each.name)
            cause = f"{error.__cause__!r}" if error.__cause__ else str(error)
            failures.setdefault(cause, []).append(str(error))
    checks = [] if part else checks_of(package.name, (usable,), name)
    for sentences in failures.values():
        checks += checks_of(package.name, (imports,), sentences)
    checks += [] if part else checks_of(package.name, (hook_module,), package)
    for each in sorted(parts, key=lambda part: part.slot == RECIPES):
        if each.slot == RECIPES:
            checks += checks_of(f"{each.name}-recipes", (recipes,), each, broken)
        elif each.name not in broken:
            form = checks_of(each.name, (described,), each)
            checks += [replace(check, counts=False) for check in form] + _contract(each, package)
    return checks


@promise("Correct this; where the package is not there, install it.")
def usable(name: str) -> Faults:
    """A plugin is an installed package with an entry point in the group `lightrec`, whose hooks
    exist and give free names.
    """
    installed = plugins.installed()
    if (package := installed.package(name)) is None:
        names = ", ".join(sorted(package.name for package in installed.packages))
        yield f"There is none called {name!r} among {names}."
        return
    if broken := installed.broken.get(str(package)):
        yield broken
    provided = {(part.slot, part.name) for part in installed.parts_of(package)}
    for place, sentence in installed.refused.items():
        if f" {package} (" in sentence and place not in provided:
            yield sentence


@promise("Correct this first: nothing else of these parts can be checked.")
def imports(sentences: list[str]) -> Faults:
    """Every part can be imported, is a complete class, and is derived from the base class of its
    slot.
    """
    first, *others = sentences
    same = f" The same error stops {len(others)} more: {' '.join(others)}" if others else ""
    yield first + same


@promise(
    f"Write `LIGHTREC_API = {plugins.hookspecs.API_VERSION}` in it, give classes as "
    "`package.module:Class`, and import what they need in their own modules."
)
def hook_module(package: Package) -> Faults:
    """A hook module states the version of the hooks that it was written for, and imports nothing
    heavy, nor does its package, so that listing plugins is instant.
    """
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
def recipes(part: Part, broken: Collection[str] = ()) -> Faults:
    """A set of recipes is a folder of YAML files, each of them a mapping of settings that its
    stage has.
    """
    from lightrec.settings import ALL_SETTINGS
    from lightrec.stages import recipes as files
    from lightrec.stages.run import check
    from lightrec.stages.stage import Stage

    paths = sorted(Path(part.path).glob("*.yaml"))
    words = {word for path in paths for word in WORD.findall(path.read_text("utf-8", "replace"))}
    if named := sorted(words & {*broken}):
        raise NotChecked(f"They name {', '.join(named)}, which cannot be imported, as said above.")
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


def kind_of(cls: Any, slot: str = "") -> Any:
    """The class of a part's checks, by its slot or by what it is derived from; None: none."""
    bases = [f"{base.__module__}:{base.__qualname__}" for base in getattr(cls, "__mro__", ())]
    names = [OF_SLOTS.get(slot), *map(KINDS.get, bases)]
    name = next(filter(None, names), None)
    return None if name is None else getattr(lightrec_testing, name)


def _contract(part: Part, package: Package) -> list[Check]:
    """The checks of a part's kind, as far as the kit can build the part."""
    from lightrec_testing import tiny  # heavy, and none but classes need it

    cls = part.load()
    if (kind := kind_of(cls, part.slot)) is None:
        kinds = " and ".join(base.__name__ for base in cls.__mro__[1:-1][:1]) or part.slot
        return [_unchecked(part, f"The kit has no checks for its kind, {kinds}: test it yourself.")]
    # The checks of some slots build the part by another way than its constructor.
    required = [] if part.slot in OF_SLOTS else _required(cls)
    required = [name for name in required if name not in kind.passes]
    supplies = tiny.supplies() if required else {}
    make = partial(_build, cls, {n: supplies.get(n) for n in required}) if required else cls
    arguments: dict[str, Any] = {"make": make, "part": part.name}
    lacking = [name for name in required if name not in supplies]
    own = _required(kind)
    if kind.sample and "sample" in vars(cls):  # that of a base class is in another format
        arguments[kind.sample] = partial(tiny.kit_sample, cls)
    elif kind.sample in OF_LOGS:
        # A package's domain makes up a log with the attributes that the package's parts read.
        arguments[kind.sample] = partial(getattr(tiny, OF_LOGS[kind.sample]), _domain(package))
    elif kind.sample == "make":
        arguments, lacking = {}, []
    if lacking := [*lacking, *(name for name in own if name not in arguments)]:
        way = f"define a class method `sample(folder)` that gives {kind.sample}, or "
        return [
            _unchecked(
                part,
                f"It needs {', '.join(lacking)}; {way if lacking == [kind.sample] else ''}run "
                f"{kind.__name__}({', '.join(own)}) in the package's own tests, where `make` "
                f"builds {part.name}.",
            )
        ]
    return list(kind(**arguments))


@cache
def _domain(package: Package) -> Any:
    """The package's first domain that makes up a log; None where there is none."""
    for part in plugins.installed().parts_of(package):
        with suppress(PluginError):
            if part.slot == "domains" and (domain := part.load())().has_synthetic:
                return domain
    return None


def _unchecked(part: Part, why: str) -> Check:
    def run() -> None:
        raise NotChecked(why)

    return Check(part.name, "contract", run)


def _build(cls: type, supplies: dict[str, Any], *passed: Any) -> Any:
    arguments = {name: make() for name, make in supplies.items()}
    if passed and "batch_size" in arguments:
        return cls(**arguments | {"batch_size": passed[0]})
    return cls(*passed, **arguments)


def _required(cls: type) -> list[str]:
    return [argument.name for argument in _arguments(cls) if argument.default is argument.empty]


def _arguments(cls: type) -> list[inspect.Parameter]:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    return [argument for argument in arguments if argument.kind not in several]
