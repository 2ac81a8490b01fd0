"""What is measured in Python: each module has ``measure(cell)``, which names metrics by key.

What a line of `lightrec run` leaves needs none of these; see :mod:`benchmarks.run`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
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


def peak(process: int | str = "self") -> float:
    """Peak resident set of a process in GiB, 0 if it has just ended.

    ``getrusage`` counts what its parent held at the start as well.
    """
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 2**20 if found else 0.0
