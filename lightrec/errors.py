"""Every error that lightrec raises on purpose::

    LightrecError
    ├── DataError        a log, catalog or user table cannot be used as it is
    ├── FetchError       something could not be fetched from outside
    ├── RecipeError      a recipe or a command line asks for something impossible
    ├── PluginError      a plugin is broken, clashes with another or speaks another API version
    │   └── UnusablePart     a part cannot be imported, or is not what its slot holds
    └── RunError         a run folder lacks what a command needs
        └── NotApplicable    a log does not say what a part needs to know

Messages are whole sentences: what was found, what was expected, what to do. The command line
prints them without a traceback and exits with code 2.
"""

import difflib
import inspect
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import lru_cache


class LightrecError(Exception):
    """Base of all errors that are meant for the user's eyes.

    :param sentences: one text, or a whole sentence for each problem, which stand below each other.
    """

    def __init__(self, sentences: str | Sequence[str]) -> None:
        super().__init__(sentences if isinstance(sentences, str) else "\n".join(sentences))


class DataError(LightrecError):
    """Bad input data. Up to 20 problems are gathered and shown at once.

    :param problems: one whole sentence for each problem.
    :param source: the file or table in which they were found.
    :param more: how many problems there are besides, which nobody put into words.
    """

    SHOWN = 20

    def __init__(
        self, problems: str | Sequence[str], source: object | None = None, more: int = 0
    ) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.source = source
        self.more = more
        where = f"{source}: " if source is not None else ""
        shown = self.problems[: self.SHOWN]
        left = len(self.problems) - len(shown) + more
        text = "\n".join(where + problem for problem in shown)
        super().__init__(text + (f"\n… and {left} more problems." if left else ""))


class FetchError(LightrecError):
    """A download failed; says what was tried and what works without it."""


class RecipeError(LightrecError):
    """A recipe or an argument cannot be used."""


class PluginError(LightrecError):
    """A plugin cannot be used; names the distribution."""


class UnusablePart(PluginError):
    """A plugin's part cannot be imported, or is not what its slot holds."""


class RunError(LightrecError):
    """A run folder is missing or incomplete."""


class NotApplicable(RunError):
    """A part needs what a log does not say; the message says what, and other parts continue."""


def line_in(module: str, error: BaseException) -> str:
    """Name the file and line at which an error arose in a package; empty if it was not at work.

    :param module: a module of the package.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    root = module.partition(".")[0]
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == root:
            return f"{frame.f_code.co_filename}, line {line}"
    return ""


def failure(owner: str, task: str, kind: type, error: BaseException) -> PluginError:
    """Say in words which part could not do something, and at which line it failed.

    :param owner: names the part with its distribution.
    :param task: what was asked for, such as ``encode 12 texts``.
    :param kind: the part's class, whose own line is named where the error arose elsewhere.
    """
    said = " ".join(str(error).split()).rstrip(".") or "nothing more"
    if not (where := line_in(kind.__module__, error)):  # as where it lacks what was asked for
        try:
            where = f"{inspect.getsourcefile(kind)}, line {inspect.findsource(kind)[1] + 1}"
        except (OSError, TypeError):
            where = f"in {kind.__module__}"
    return PluginError(
        f"{owner} could not {task}. It raised {type(error).__name__}: {said} ({where})."
    )


def did_you_mean(name: str, names: Iterable[str], most: int = 1) -> str:
    """Ask whether one of the nearest names was meant, whatever its case; empty if none is near."""
    plain = {each.lower(): each for each in reversed([*names])}
    near = difflib.get_close_matches(name.lower(), plain, n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(plain[each]) for each in near)}?" if near else ""


def no_such(what: str, name: str, existing: Iterable[str]) -> str:
    """Say that a name is not known, with the nearest ones, or else with all of the few there are.

    :param what: what has the name, such as ``an attribute of the items``.
    """
    names = [str(each) for each in existing]
    some = ", ".join(names[:20]) or "none"
    others = f" There are {some}{', …' if len(names) > 20 else ''}."
    return f"{name!r} is not {what}.{did_you_mean(name, names, 3) or others}"


silent = False
"""Whether :func:`say` is silent, as in a service, whose log others read."""


def say(sentence: str) -> None:
    """Tell whoever asked how something of theirs was read."""
    if not silent:
        print(sentence, file=sys.stderr)


@lru_cache
def warn(sentence: str) -> None:
    """Print a warning, once a process."""
    print(f"warning: {sentence}", file=sys.stderr)
