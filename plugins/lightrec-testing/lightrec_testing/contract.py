"""Checks: what one is, how it fails, and how several are run. Nothing heavy is imported here."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Literal
from unittest import SkipTest

from lightrec.errors import FetchError, NotApplicable, UnusablePart

if TYPE_CHECKING:
    import pytest

Faults = Iterator[str]
"""Sentences that say what is wrong; none where all is right."""
Promise = Callable[..., Faults]
Status = Literal["passed", "failed", "not applicable", "not checked"]
AGAIN = "The same as"
"""Beginning of a message that an earlier check of the part has given in full."""
LIBRARIES = {"lightning", "lightrec", "numpy", "polars", "safetensors", "tensordict", "torch"}
LIBRARIES |= {"torchrl", "transformers"}
"""Libraries that raise an error only because of a line in the part."""


class ContractError(AssertionError):
    """A part breaks its contract. The message is three sentences.

    :param expected: what every part of its kind must do.
    :param found: what this one did.
    :param advice: what to change.
    """

    def __init__(self, expected: str, found: str, advice: str) -> None:
        self.expected, self.found, self.advice = expected, found, advice
        stop = "" if found.endswith((".", "\n")) else "."
        super().__init__(f"{expected} {found}{stop} {advice}")


class DoesNotApply(SkipTest):
    """A check has nothing to look at in this part; pytest and unittest count it as skipped."""


class NotChecked(DoesNotApply):
    """A check cannot be tried here, so that nobody knows whether the part would pass it."""


class Note(str):
    """A sentence about a part that a check yields beside faults, and that is none."""


@dataclass(frozen=True)
class Check:
    """One promise of a contract, to be tried on one part.

    :param part: the part's name, such as ``HelloEncoder``.
    :param name: the promise's name, such as ``empty text``.
    :param run: tries it, and returns what is to be noted, if anything; raises
        :class:`ContractError`, :class:`DoesNotApply` or :class:`NotChecked`.
    :param counts: whether to pass it says something of what the part does.
    """

    part: str
    name: str
    run: Callable[[], str | None]
    counts: bool = True

    @property
    def id(self) -> str:
        """``HelloEncoder-empty-text``."""
        return f"{self.part}-{self.name.replace(' ', '-')}"

    def __call__(self) -> str | None:
        """Run the check, and return what is to be noted, if anything.

        :raises ContractError: where the part fails it, or raises an error itself.
        :raises DoesNotApply: where the part has nothing that it could look at.
        :raises NotChecked: where it lacks what it needs, such as a network.
        """
        try:
            return self.run()
        except (ContractError, DoesNotApply):
            raise
        except (FetchError, NotApplicable, UnusablePart) as error:
            raise NotChecked(f"It needs something that is not here: {error}") from error
        except Exception as error:
            notes = getattr(error, "__notes__", [])
            said = " ".join(" ".join([*notes, str(error)]).split()) or "nothing more"
            raise ContractError(
                self._ends,
                f"{self.part} raised {type(error).__name__}: {said.rstrip('.')}.",
                _line_to_correct(error),
            ) from error

    @property
    def _ends(self) -> str:
        return f"The check '{self.name}' must run to its end."

    def outcome(self) -> tuple[Status, str]:
        """Run the check, and say why it failed, does not apply or could not be tried, or what is
        to be noted.
        """
        try:
            return "passed", self() or ""
        except ContractError as error:
            return "failed", str(error)
        except NotChecked as reason:
            return "not checked", str(reason)
        except DoesNotApply as reason:
            return "not applicable", str(reason)


def outcomes(checks: Iterable[Check]) -> Iterator[tuple[Check, Status, str]]:
    """Run checks in their order; what an earlier check of the same part said is not said again."""
    said: dict[tuple[str, str], str] = {}
    for check in checks:
        status, message = check.outcome()
        first = said.setdefault((check.part, message.removeprefix(check._ends)), check.name)
        again = message and first != check.name
        yield check, status, f"{AGAIN} of '{first}'." if again else message


def promise(advice: str) -> Callable[[Promise], Promise]:
    """Mark a generator function as a check: its docstring says what must hold, and it yields what
    is wrong.

    :param advice: what to do then. Words in braces, here and in the docstring, are filled in.
    """

    def mark(function: Promise) -> Promise:
        function.advice = advice  # type: ignore[attr-defined]
        return function

    return mark


def checks_of(
    part: str, functions: Iterable[Promise], *arguments: object, **words: str
) -> list[Check]:
    """Make checks of functions that are marked with :func:`promise`.

    :param arguments: of the functions.
    :param words: fill in the braces.
    """

    def run(function: Promise) -> str:
        notes = []
        for fault in function(*arguments):
            if isinstance(fault, Note):
                notes.append(fault)
                continue
            expected = " ".join((function.__doc__ or "").format_map(words).split())
            advice: str = function.advice  # type: ignore[attr-defined]
            raise ContractError(expected, fault, advice.format_map(words))
        return " ".join(notes)

    return [Check(part, f.__name__.replace("_", " "), partial(run, f)) for f in functions]


def check_all(checks: Iterable[Check]) -> None:
    """Run checks, such as ``EncoderChecks(MyEncoder)``.

    :raises ContractError: lists all that failed.
    """
    checks = list(checks)
    failed = [f"- {c.id}: {why}\n" for c, status, why in outcomes(checks) if status == "failed"]
    if failed:
        raise ContractError(
            f"All {len(checks)} checks must pass.",
            f"{len(failed)} failed:\n{''.join(failed)}",
            "Correct them from the top: the later ones often follow from the first.",
        )


def parametrize_checks(*lists: Iterable[Check]) -> "pytest.MarkDecorator":
    """Run a test, which takes ``check``, once for each check, under the check's id."""
    import pytest

    checks = [check for several in lists for check in several]
    return pytest.mark.parametrize("check", checks, ids=[check.id for check in checks])


def run_python(code: str, *arguments: str) -> tuple[str, str]:
    """Run code in another process, where strings have other hashes.

    :returns: what it printed, and the last line of its error, which is empty if there was none.
    """
    new = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "123"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=os.environ | new, capture_output=True, text=True)
    lines = done.stderr.strip().splitlines() or ["nothing"]
    return done.stdout, lines[-1] if done.returncode else ""


def name_of(make: Callable[..., object]) -> str:
    """Name a part by what makes it: a class, a function, or a ``functools.partial`` of one."""
    while isinstance(make, partial):
        make = make.func
    return str(getattr(make, "__name__", type(make).__name__))


def _line_to_correct(error: Exception) -> str:
    """Name the last line that is the part's own, or to which it gave what was wrong."""
    last: dict[bool, tuple[FrameType, int]] = {}
    causes = [error]  # of which the innermost says most
    while isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    for frame, number in (each for e in causes for each in traceback.walk_tb(e.__traceback__)):
        module = str(frame.f_globals.get("__name__"))
        root = module.partition(".")[0]
        if not module.startswith("lightrec_testing.") and root not in sys.stdlib_module_names:
            last[root in LIBRARIES] = frame, number
    if not last:
        return "Correct what the part gave to the check; in pytest, it shows the traceback."
    (line,) = traceback.StackSummary.extract(iter([last.get(False) or last[True]]))
    what = "line" if False in last else "what the part gives to line"
    return f"Correct {what} {line.lineno} of {line.filename}: `{line.line}`."
