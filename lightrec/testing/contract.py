"""What a check is, how it fails, and how several are run. Nothing heavy is imported here."""

import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import SkipTest

from lightrec.errors import FetchError


class ContractError(AssertionError):
    """A part does not keep its contract. The message is three sentences.

    :param expected: what every part of its kind must do.
    :param found: what this one did.
    :param mend: what to change.
    """

    def __init__(self, expected: str, found: str, mend: str) -> None:
        self.expected, self.found, self.mend = map(_whole, (expected, found, mend))
        super().__init__(f"{self.expected} {self.found} {self.mend}")


class DoesNotApply(SkipTest):
    """A check has nothing to look at in this part; the message says why.

    It is the standard library's skip, so that pytest and unittest count it as skipped.
    """


@dataclass(frozen=True)
class Check:
    """One promise of a contract, to be tried on one part.

    :param part: the part's name, such as ``HelloEncoder``.
    :param name: what is tried, such as ``empty text``.
    :param run: tries it; raises :class:`ContractError` or :class:`DoesNotApply`.
    """

    part: str
    name: str
    run: Callable[[], None]

    @property
    def id(self) -> str:
        """``HelloEncoder-empty-text``."""
        return f"{self.part}-{self.name.replace(' ', '-')}"

    def __call__(self) -> None:
        """Run the check.

        :raises ContractError: where the part fails it, an error of the part's own included.
        :raises DoesNotApply: where there is nothing to check, or something cannot be fetched here.
        """
        try:
            self.run()
        except (ContractError, DoesNotApply):
            raise
        except FetchError as error:
            raise DoesNotApply(
                f"It needs something that cannot be fetched here: {error}"
            ) from error
        except Exception as error:
            said = " ".join(str(error).split()) or "nothing more"
            raise ContractError(
                f"The check '{self.name}' must run to its end.",
                f"{self.part} raised {type(error).__name__}: {said.rstrip('.')}.",
                _mend(error),
            ) from error


@dataclass(frozen=True)
class Outcome:
    """How a check went.

    :param check: the check.
    :param status: ``passed``, ``failed`` or ``not applicable``.
    :param message: why it failed or does not apply; empty where it passed.
    """

    check: Check
    status: Literal["passed", "failed", "not applicable"]
    message: str = ""


def outcomes(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run checks one by one, whatever becomes of each, and tell how they went."""
    for check in checks:
        try:
            check()
        except ContractError as error:
            yield Outcome(check, "failed", str(error))
        except DoesNotApply as reason:
            yield Outcome(check, "not applicable", str(reason))
        else:
            yield Outcome(check, "passed")


def run_all(checks: Iterable[Check]) -> None:
    """Run checks.

    :raises ContractError: that lists all that failed.
    """
    checks = list(checks)
    failed = [outcome for outcome in outcomes(checks) if outcome.status == "failed"]
    if failed:
        listed = "\n".join(f"- {outcome.check.id}: {outcome.message}" for outcome in failed)
        raise ContractError(
            f"All {len(checks)} checks must pass.",
            f"{len(failed)} failed:\n{listed}\n",
            "Mend them from the top: the later ones often follow from the first.",
        )


def expect(condition: object, expected: str, found: str, mend: str) -> None:
    """Fail a check unless a condition holds; the three sentences are :class:`ContractError`'s."""
    if not condition:
        raise ContractError(expected, found, mend)


def checks_of(
    part: str,
    functions: Iterable[Callable[..., None]],
    *arguments: object,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[Check]:
    """Make one check of each function, called after it and given ``arguments`` when it is run.

    :param around: gives what each run happens in.
    """
    return [
        Check(part, function.__name__.replace("_", " "), partial(_run, around, function, arguments))
        for function in functions
    ]


def _run(
    around: Callable[[], AbstractContextManager[Any]],
    function: Callable[..., None],
    arguments: tuple[object, ...],
) -> None:
    with around():
        function(*arguments)


def _mend(error: Exception) -> str:
    """Name the line to mend: the last one that is the part's own, or lightrec's if none is."""
    kit = Path(__file__).parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _within(f, kit)]
    own = [f for f in frames if not any(_within(f, folder) for folder in (kit.parent, *_LIBRARIES))]
    if not (own or frames):
        return "Correct what the part gave to the check; in pytest, it shows the traceback."
    line = (own or frames)[-1]
    return f"Mend line {line.lineno} of {line.filename}: `{line.line}`."


def _within(frame: traceback.FrameSummary, folder: Path) -> bool:
    path = Path(frame.filename)
    if folder == _LIBRARIES[0] and "site-packages" in path.parts:
        return False  # installed plugins lie within the standard library's folder
    return path.is_relative_to(folder) or not path.is_absolute()


_PACKAGES = Path(sysconfig.get_path("purelib"))
_LIBRARIES = (
    Path(sysconfig.get_path("stdlib")),
    *(_PACKAGES / name for name in ("torch", "tensordict", "torchrl", "polars", "transformers")),
)
"""Folders whose lines are nobody's to mend."""


def _whole(sentence: str) -> str:
    """End a sentence that quotes another's words and may lack its full stop."""
    return sentence if sentence.endswith((".", "\n")) else f"{sentence}."


def name_of(make: Callable[..., object]) -> str:
    """Name a part by what makes it: a class, a function, or a ``functools.partial`` of one."""
    while isinstance(make, partial):
        make = make.func
    return str(getattr(make, "__name__", type(make).__name__))
