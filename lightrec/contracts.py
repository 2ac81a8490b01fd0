"""Whether a package's class keeps the contracts of today: it can be called as lightrec calls it.

Which version of the API changed the contract of which kind of part stands in ``moved.yaml``.
"""

import inspect
from collections.abc import Iterator, Sequence
from inspect import Parameter, Signature
from types import FunctionType
from typing import Final

from lightrec.moved import changes

MIGRATION: Final = "docs/reference/migration.md"


def outdated(part: type, written_for: int | None) -> str:
    """Say in what a class keeps an earlier contract; empty where it keeps that of today.

    :param written_for: the version of the API that the class's package states. None where it
        states none: then the parameters of its methods alone decide.
    """
    bases = {f"{base.__module__}.{base.__qualname__}" for base in part.__mro__}
    methods = {name: (cls, value) for cls, name, value in _own_methods(part)}
    for change in changes():
        earlier = written_for is not None and written_for < change.version
        if earlier and change.base in bases and (not change.method or change.method in methods):
            return (
                f"it was written for version {written_for} of lightrec's API, and version "
                f"{change.version} changed {change.kind}: {change.sentence}. Change this, and "
                f"state LIGHTREC_API = {change.version} in the package's hook module "
                f"({MIGRATION}#version-{change.version})."
            )
    for name, (cls, method) in methods.items():
        if (overridden := _overridden(cls, name)) is None:
            continue
        base, contract = overridden
        wanted, taken = _parameters(contract), _parameters(method)
        if not _can_take(taken, wanted):
            return (
                f"its method {name}{Signature(taken)} overrides {base.__name__}.{name}"
                f"{Signature(wanted)}, and cannot be called as that is. Give it those parameters; "
                f"{MIGRATION} says which version changed what."
            )
    return ""


def _own_methods(part: type) -> Iterator[tuple[type, str, object]]:
    """The public methods that a class and its bases in its package define, its own last."""
    package = _package(part)
    for cls in reversed(part.__mro__):
        if package != "lightrec" and _package(cls) == package:
            for name, value in vars(cls).items():
                function = _function(value)
                # `fit = Other.fit` may give one of lightrec's, which is as it must be.
                own = isinstance(function, FunctionType) and _package(function) == package
                if own and not name.startswith("_"):
                    yield cls, name, value


def _overridden(cls: type, name: str) -> tuple[type, object] | None:
    """The method of lightrec's that a class overrides, after the class that defines it."""
    for base in cls.__mro__[1:]:
        value = vars(base).get(name)
        if _package(base) == "lightrec" and isinstance(_function(value), FunctionType):
            return base, value
    return None


def _package(defined: type | FunctionType) -> str:
    return defined.__module__.partition(".")[0]


def _function(value: object) -> object:
    return getattr(value, "__func__", value)


def _parameters(method: object) -> list[Parameter]:
    """A method's parameters without types, and without the one that is bound."""
    parameters = inspect.signature(_function(method)).parameters.values()  # type: ignore[arg-type]
    plain = [each.replace(annotation=Parameter.empty) for each in parameters]
    return plain if isinstance(method, staticmethod) else plain[1:]


def _can_take(taken: Sequence[Parameter], wanted: Sequence[Parameter]) -> bool:
    """Whether parameters take all arguments of other ones, whatever those in order are called."""
    in_order = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    by_name = {each.name: None for each in wanted if each.kind is Parameter.KEYWORD_ONLY}
    try:
        Signature(taken).bind(*(each for each in wanted if each.kind in in_order), **by_name)
    except TypeError:
        return False
    return True
