"""Objects as files describe them, and the classes that files name.

A run folder, a checkpoint or a saved part is data, and may come from anybody. Nothing that it names
is imported unless it belongs to lightrec or to an installed plugin, and nothing is called unless it
is derived from the class that is expected there. Recipes that people give may name anything; those
that a run folder notes are read behind a :func:`gate`.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from inspect import isabstract, isroutine, signature
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from unittest import mock

from lightrec import plugins
from lightrec.errors import RecipeError, RunError
from lightrec.moved import moved

CLASS, ARGUMENTS = "class_path", "init_args"
"""Keys by which recipes and files describe an object: its class and its arguments."""

HARMLESS: Final = tuple(
    f"lightning.pytorch.callbacks.{within}{name}"
    for module, name in (
        ("early_stopping.", "EarlyStopping"),
        ("weight_averaging.", "EMAWeightAveraging"),
        ("stochastic_weight_avg.", "StochasticWeightAveraging"),
        ("lr_monitor.", "LearningRateMonitor"),
        ("gradient_accumulation_scheduler.", "GradientAccumulationScheduler"),
    )
    for within in ("", module)
)
"""Other classes that a run folder's recipes may name: Lightning's callbacks that write nothing."""
_DOTTED: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_GATED: Final = ContextVar("_GATED", default=False)
_Base = TypeVar("_Base")
_ANYTHING = (NoneType, object, Any)
"""Types that say nothing of what may be built for them."""


class PlainCheckpoint:
    """For Lightning's modules and data modules: what checkpoints name is called if it is trusted.

    A module's arguments are kept as :func:`described`, and what they describe is built again.
    """

    @classmethod
    def load_from_checkpoint(cls, *arguments: Any, **settings: Any) -> Any:
        """Load as Lightning does, with none but lightrec's own function to build it."""
        from lightning.pytorch.core import saving

        # Lightning's own such function imports whatever class the arguments name.
        instantiator = f"{__name__}.{instantiate.__name__}"
        saving._ALLOWED_INSTANTIATORS.add(instantiator)
        return super().load_from_checkpoint(  # type: ignore[misc]
            *arguments, **settings, _instantiator=instantiator
        )


def trusted_class(name: str, base: type[_Base]) -> type[_Base]:
    """Find a class that a file names.

    A class that is already defined in this process, as in a notebook, is found by any name. Modules
    are imported only where they belong to lightrec or to an installed plugin, as
    ``LIGHTREC_LOAD_PLUGINS`` and ``LIGHTREC_DISABLED_PLUGINS`` say.

    :param name: ``module:Class`` or ``module.Class``.
    :param base: what it must be derived from.
    :raises RunError: where it may not be imported, is not there, or is not derived from ``base``.
    """
    name = moved(name)
    dotted = name.replace(":", ".")
    for kind in plugins.subclasses(base):
        if dotted == f"{kind.__module__}.{kind.__qualname__}":
            return kind
    module, _, short = name.rpartition(":" if ":" in name else ".")
    _check_may_import(module, "class", name, ", or import the class before you load the file")
    try:
        cls = getattr(import_module(module), short, None)
    except Exception as error:
        raise RunError(
            f"A file names the class {name}, which cannot be imported: {type(error).__name__}: "
            f"{error}."
        ) from error
    if not isinstance(cls, type):
        raise RunError(f"A file names {name}, and there is no such class.")
    if not issubclass(cls, base):
        raise RunError(f"A file names {name}, which is not a subclass of {base.__name__}.")
    return cls


@contextmanager
def gate() -> Iterator[None]:
    """Read recipes that a run folder notes: what they name is imported only if it may be."""
    from jsonargparse import _common, set_parsing_settings

    parts = (part.path.replace(":", ".") for part in plugins.installed().every_part)
    allowed = [*_packages(), *filter(_DOTTED.fullmatch, parts), *HARMLESS]
    token = _GATED.set(True)
    try:
        with mock.patch.dict(_common.parsing_settings):  # put back at the end
            set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed)
            yield
    finally:
        _GATED.reset(token)


def function(name: str, takes: str) -> Callable[..., None]:
    """Import a function that a recipe names, as ``package.module.function``.

    :param takes: name of the class of its first argument, which tells those that a run folder may
        name.
    :raises RunError: where a run folder names another one.
    """
    module, _, short = name.rpartition(".")
    if _GATED.get():
        _check_may_import(module, "function", name)
    imported: Callable[..., None] = getattr(import_module(module), short)
    if _GATED.get():
        first = next(iter(signature(imported).parameters.values()), None)
        if getattr(kind := first and first.annotation, "__name__", kind) != takes:
            raise RunError(f"A file names the function {name}, which takes no {takes}.")
    return imported


def class_of_recipe(name: str, base: type[_Base]) -> type[_Base]:
    """Import a class that a recipe names, as ``package.module.Class``.

    :param base: what it must be derived from.
    :raises RecipeError: where there is no such class, or it lacks what the base class asks for.
    :raises RunError: as :func:`trusted_class`, where a run folder notes the recipe.
    """
    if _GATED.get():
        return trusted_class(name, base)
    module, _, short = moved(name).replace(":", ".").rpartition(".")
    try:
        cls = getattr(import_module(module), short)
    except Exception as error:
        raise RecipeError(
            f"A recipe names the class {name}, which cannot be imported: {type(error).__name__}: "
            f"{error}. Write it as package.module.Class, of a module that Python finds."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise RecipeError(f"A recipe names {name}, which is not a subclass of {base.__name__}.")
    if isabstract(cls):
        lacking = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise RecipeError(f"A recipe names {name}, which lacks {lacking}: define it in the class.")
    return cls


def check_classes(value: Any) -> None:
    """See that a parsed recipe that a run folder notes names classes, and no functions.

    :raises RunError: where it names a function.
    """
    if _GATED.get() and isroutine(value):
        raise RunError(f"A file names {value.__qualname__}, a function where a class is expected.")
    for inner in value.values() if isinstance(value, Mapping) else ():
        check_classes(inner)
    for inner in value if isinstance(value, list | tuple) else ():
        check_classes(inner)


def described(value: Any) -> Any:
    """A constructor argument as plain Python, as recipes, checkpoints and parts write it.

    A part becomes its class and its arguments, and so does a class or a partial that makes one;
    tuples become lists, and all else stays what it is.
    """
    if isinstance(value, Mapping):
        return {name: described(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [described(inner) for inner in value]
    if isinstance(value, partial | type):
        kind, settings = class_and_settings(value)
        name = {CLASS: f"{kind.__module__}.{kind.__qualname__}"}
        return name | ({ARGUMENTS: described(settings)} if settings else {})
    return getattr(value, "description", value)


def class_and_settings(maker: Callable[..., _Base]) -> tuple[type[_Base], dict[str, Any]]:
    """Take a class, or a partial that makes an object of one, apart."""
    if not isinstance(maker, partial):
        return cast(type[_Base], maker), {}
    # jsonargparse's own partial has the class as its argument, and a function that makes it.
    kind: Any = next((a for a in maker.args if isinstance(a, type)), maker.func)
    return kind, maker.keywords


def built(value: Any, annotation: Any) -> Any:
    """Build what a description says, the parts within it first; the reverse of :func:`described`.

    :param value: a mapping of ``class_path`` and ``init_args``, a list of these, or anything else,
        which is given back.
    :param annotation: the type of the argument that it is for: a class, or one of several, from
        which the description's must be derived, or ``Callable[..., Base]``, which gives a partial.
    :raises RunError: as :func:`trusted_class`, and where the arguments do not fit the class.
    """
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if isinstance(value, list):
        inner = next((args[0] for kind in kinds if (args := get_args(kind))), object)
        return [built(each, inner) for each in value]
    if not isinstance(value, Mapping):
        return value
    if CLASS not in value:
        if all(isinstance(kind, type) and not issubclass(dict, kind) for kind in kinds):
            raise RunError(
                f"A file describes a {kinds[0].__name__} as {dict(value)!r}, which has no {CLASS}: "
                "the file is damaged. Make it again."
            )
        return value
    later = [get_args(kind)[-1] for kind in kinds if get_origin(kind) is Callable]
    bases = [kind for kind in later or kinds if isinstance(kind, type) and kind not in _ANYTHING]
    if not bases:
        return value
    cls: Any = trusted_class(value[CLASS], bases[0])
    try:
        arguments = arguments_of(cls, value.get(ARGUMENTS) or {})
        return partial(cls, **arguments) if later else cls(**arguments)
    except TypeError as error:
        raise RunError(
            f"A file describes a {cls.__name__} as {dict(value)!r}, which cannot be built: {error}."
        ) from error


def arguments_of(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Build what descriptions there are among a constructor's arguments.

    What a constructor does not take is left out: an earlier release's may have taken more.

    :param kind: whose constructor it is, and whose types the parts must have.
    """
    taken = signature(kind.__init__).parameters  # type: ignore[misc]
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in taken.values()):
        arguments = {name: value for name, value in arguments.items() if name in taken}
    if not any(isinstance(value, Mapping | list) for value in arguments.values()):
        return dict(arguments)
    types: dict[str, Any] = {}
    for base in reversed(kind.__mro__):  # to whose constructors some arguments are passed on
        types |= get_type_hints(base.__init__)  # type: ignore[misc]
    return {name: built(value, types.get(name, object)) for name, value in arguments.items()}


def instantiate(kind: type[_Base], arguments: Mapping[str, Any]) -> _Base:
    """Make a Lightning module of the arguments that its checkpoint holds."""
    # Where a constructor passes settings on, Lightning hands over more than the bases' take.
    taken = {name for base in kind.__mro__ for name in signature(base.__init__).parameters}  # type: ignore[misc]
    return kind(**arguments_of(kind, {name: v for name, v in arguments.items() if name in taken}))


def _check_may_import(module: str, what: str, name: str, otherwise: str = "") -> None:
    """Refuse what belongs neither to lightrec nor to an installed plugin."""
    dotted = name.replace(":", ".")
    if not (
        any(f"{module}.".startswith(f"{package}.") for package in _packages())
        or any(part.path.replace(":", ".") == dotted for part in plugins.installed().every_part)
    ):
        raise RunError(
            f"A file names the {what} {name}, which belongs neither to lightrec nor to an "
            "installed plugin, so that it was not imported. If you trust the file, install the "
            f"{what}'s package as a plugin{otherwise}."
        )


def _packages() -> list[str]:
    """Name the packages of which run folders may name all."""
    return ["lightrec", *(_package_around(p.module) for p in plugins.installed().packages)]


def _package_around(hooks: str) -> str:
    """The outermost package around a module of hooks that no other distribution shares."""
    parts = hooks.partition(":")[0].split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is not None:  # a namespace package has no origin
            return package
    return ".".join(parts)
