"""How much code the project may have: `make check` prints the table and fails above a limit.

Who needs room takes something away first; a limit is raised by nobody in passing.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*folders: str) -> set[Path]:
    """The Python files below folders of the repository, which may be patterns."""
    return {file for name in folders for folder in ROOT.glob(name) for file in folder.rglob("*.py")}


def lines(files: Iterable[Path]) -> int:
    """Lines of files, empty ones and comments included."""
    return sum(file.read_bytes().count(b"\n") for file in files)


def counts() -> dict[str, tuple[int, int]]:
    """What is counted, with the number of now and the limit."""
    core = python("lightrec")
    tests = python("tests", "plugins/*/tests") | {ROOT / "conftest.py"}
    return {
        "files of lightrec/": (len(core), 220),
        "lines of lightrec/": (lines(core), 34_000),
        "lines of lightrec/ and plugins/": (lines(core | python("plugins") - tests), 62_000),
        "lines of benchmarks/": (lines(python("benchmarks")), 6_000),
        "lines of tests/ and plugins' tests": (lines(tests), 28_000),
    }


def main() -> int:
    """Print the table; 1 where a number is above its limit."""
    above = False
    for what, (now, limit) in counts().items():
        above |= now > limit
        print(f"{what:<36}{now:>8,} of {limit:>6,}{'  too many' if now > limit else ''}")
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
