"""Whose part it was: classes named with their distributions, and their errors as sentences."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lightrec.errors import LightrecError, PluginError, failure
from lightrec.plugins import installed


def provider(part: object) -> str:
    """Name a class with its distribution: ``ClinicReward of lightrec-clinic 1.0``.

    :param part: the class, or an object of it.
    """
    kind = part if isinstance(part, type) else type(part)
    root = kind.__module__.partition(".")[0]
    every_plugin = installed()
    owners = [p.distribution for p in every_plugin.every_part if p.path == _path(kind)]
    owners += [str(p) for p in every_plugin.packages if p.module.partition(".")[0] == root]
    return f"{kind.__name__} of {[*owners, f'the module {kind.__module__}'][0]}"


def _path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


@contextmanager
def blaming(part: object | None, task: str) -> Iterator[None]:
    """Turn what somebody's part raises into a sentence, see :func:`blame`.

    :raises PluginError: for any error that is not lightrec's own; those have their sentences.
    """
    try:
        yield
    except LightrecError:
        raise
    except Exception as error:
        if (blamed := blame(error, task, part)) is None:
            raise
        raise blamed from error


def blame(error: BaseException, task: str, part: object | None = None) -> PluginError | None:
    """Say of an error which part raised it, of which distribution, at which line.

    Where the error comes from a part within the part that is not lightrec's own, that one is named.

    :param task: what was asked for, such as ``encode 12 texts``.
    :param part: the part that was called, or its class; None where that was lightrec's own code.
    :returns: None where no part was at work, and where the memory did not suffice, which is no
        part's mistake.
    """
    named = _at_work(error) or part
    if named is None or isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return None
    kind = named if isinstance(named, type) else type(named)
    return failure(provider(named), task, kind, error)


def _at_work(error: BaseException) -> type | None:
    """The class of the innermost object at work that is somebody else's: of an installed plugin, or
    derived from a class of lightrec's elsewhere.
    """
    foreign = {p.path for p in installed().every_part if not p.path.startswith("lightrec.")}
    for frame, _ in reversed([*traceback.walk_tb(error.__traceback__)]):
        thing = frame.f_locals.get("self", frame.f_locals.get("cls"))
        kind = thing if isinstance(thing, type) else type(thing)
        roots = [base.__module__.partition(".")[0] for base in kind.__mro__]
        if _path(kind) in foreign or (roots[0] != "lightrec" and "lightrec" in roots):
            return kind
    return None
