"""Classes that files name.

A run folder, a checkpoint or a saved part is data, and may come from anybody. Nothing that it names
is imported unless it belongs to lightrec or to an installed plugin, and nothing is called unless it
is derived from the class that is expected there.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

from lightrec import plugins
from lightrec.errors import RunError

CLASS, ARGUMENTS = "class_path", "init_args"
"""How checkpoints describe an object: by its class and its arguments."""

_Base = TypeVar("_Base")


class PlainCheckpoint:
    """For Lightning's modules and data modules: checkpoints give arguments, and call nothing."""

    @classmethod
    def load_from_checkpoint(cls, *arguments: Any, **settings: Any) -> Any:
        """Load as Lightning does, without the function that a checkpoint may name to build it."""
        # Lightning's own such function imports whatever class the arguments name.
        return super().load_from_checkpoint(  # type: ignore[misc]
            *arguments, **settings, _instantiator=None
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
    dotted = name.replace(":", ".")
    for known in _derived(base):
        if dotted == f"{known.__module__}.{known.__qualname__}":
            return known
    module, _, own = name.rpartition(":" if ":" in name else ".")
    if not _may_import(module, dotted):
        raise RunError(
            f"A file names the class {name}, which belongs neither to lightrec nor to an installed "
            "plugin, so that it was not imported. If you trust the file, install the class's "
            "package as a plugin, or import the class before you load the file."
        )
    try:
        found = getattr(import_module(module), own, None)
    except Exception as error:
        raise RunError(
            f"A file names the class {name}, which cannot be imported: {type(error).__name__}: "
            f"{error}."
        ) from error
    if not isinstance(found, type):
        raise RunError(f"A file names {name}, and there is no such class.")
    if not issubclass(found, base):
        raise RunError(f"A file names {name}, which is not a subclass of {base.__name__}.")
    return found


def rebuilt(given: _Base | None, base: type[_Base]) -> _Base | None:
    """Build what a checkpoint describes.

    :param given: a mapping of ``class_path`` and ``init_args``; anything else is given back.
    :param base: what its class must be derived from.
    :raises RunError: as :func:`trusted_class`.
    """
    if not isinstance(given, Mapping):
        return given
    try:
        return trusted_class(given[CLASS], base)(**given.get(ARGUMENTS, {}))
    except (KeyError, TypeError) as error:
        raise RunError(
            f"A file describes a {base.__name__} as {dict(given)!r}, which cannot be built: "
            f"{error}."
        ) from error


def _derived(base: type[_Base]) -> Iterator[type[_Base]]:
    """List a class and its subclasses, of those with one name the last defined first."""
    for child in reversed(base.__subclasses__()):
        yield from _derived(child)
    yield base


def _may_import(module: str, dotted: str) -> bool:
    if _within(module, "lightrec"):
        return True
    found = plugins.installed()
    if any(_within(module, _own_package(package.module)) for package in found.packages):
        return True
    return any(part.path.replace(":", ".") == dotted for part in found.every_part)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _own_package(hooks: str) -> str:
    """Give the outermost package around a module of hooks that no other distribution shares."""
    parts = hooks.partition(":")[0].split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is not None:  # a namespace package has no origin
            return package
    return ".".join(parts)
