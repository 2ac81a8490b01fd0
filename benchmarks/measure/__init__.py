"""What is measured in Python: a function of a cell, often ``measure``, names metrics by key.

What a line of `lightrec run` leaves needs none of these; see :mod:`benchmarks.run`.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from lightrec.__main__ import main as lightrec
from lightrec.run import Run


@dataclass(frozen=True)
class Cell:
    """A cell as its file describes it.

    :param out: folder for what it makes.
    :param options: of `lightrec run`.
    :param settings: of its own.
    """

    out: Path
    seed: int
    options: list[str] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    def run(self, *words: str, name: str = "run") -> Run:
        """Make a run by `lightrec run` with words and the seed.

        :param name: of its folder.
        :raises SystemExit: where it fails.
        """
        folder = self.out / name
        if status := lightrec(["run", *words, "--seed", str(self.seed), "--out", str(folder)]):
            raise SystemExit(status)
        return Run(folder)


def resident(process: int | str = "self", kind: str = "VmHWM") -> float:
    """Resident set of a process in GiB, by default its peak; 0 if it has just ended.

    ``getrusage`` counts what its parent held at the start as well.

    :param kind: a line of ``/proc/PID/status``; ``VmRSS`` is what it holds now.
    """
    found = re.search(rf"{kind}:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 2**20 if found else 0.0


def cpu_seconds(command: Sequence[str], **how: Any) -> float:
    """User and system time of a process, which must end well, and of its children.

    :param how: of :func:`subprocess.run`.
    :raises subprocess.CalledProcessError: where it fails.
    """
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run(command, check=True, **how)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
