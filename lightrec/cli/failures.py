"""Failures that are nobody's mistake in writing code: full disks, damaged files, too little memory.

One place puts them into sentences for all commands. What it does not know is a mistake in a part,
which is named, or in lightrec, whose traceback stays.
"""

import errno
import re
from pathlib import Path

from lightrec.data.files import damage
from lightrec.run import OPENED

NO_SPACE = re.compile(r"os error 28|No space left|PytorchStreamWriter failed|errno 28")
"""Words of libraries' own errors about a full disk."""
NO_MEMORY = re.compile(r"MemoryError|can't allocate memory|out of memory", re.IGNORECASE)


def in_a_sentence(error: BaseException) -> str | None:
    """Say what failed and what to do; None where the error's cause is not known."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or NO_SPACE.search(str(error)):
        return (
            f"Nothing more can be written{_where(error)}: the disk is full. Free some space; the "
            "same command continues where this one was."
        )
    for run in sorted(OPENED):
        if sentence := damage(run):
            return f"{sentence} ({type(error).__name__})"
    match error:
        case FileNotFoundError() if (missing := _missing(error)) is not None:
            return f"There is no folder {missing}: make it first, or name another."
        case OSError():
            words = error.strerror or str(error) or type(error).__name__
            return f"The system refuses this{_where(error)}: {words}."
        case RecursionError():
            return "What was given is nested too deeply: write it with fewer levels."
        case MemoryError() | RuntimeError() if NO_MEMORY.search(repr(error)):
            first = next(iter(str(error).splitlines()), "no more")
            return (
                f"The memory does not suffice ({first}). "
                "Ask for less at once, such as a smaller batch or a shorter list."
            )
    return None


def _where(error: BaseException) -> str:
    """Name the file of an error, where it names one; the last of two is where it was to go."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return "" if name is None else f" at {name}"


def _missing(error: FileNotFoundError) -> Path | None:
    """The folder that is missing where a file was to be written or read in it."""
    name = error.filename or next(iter(re.findall(r"'(.+?)'", str(error))), None)
    folder = None if name is None else Path(str(name)).parent
    return folder if folder is not None and not folder.exists() else None
