"""A faulty file takes no more than twice the memory of the clean one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

LINES = 300_000

SCRIPT = """
import re, resource, sys
from pathlib import Path
from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

path = Path(sys.argv[1])
small = path.with_name("small" + "".join(path.suffixes))
try:
    find_reader(small).read(small)
except DataError:
    pass
before, problems = peak(), 0
try:
    find_reader(path).read(path)
except DataError as error:
    counts = [re.search(r"and ([\\d,]+) other", text) for text in error.problems]
    problems = sum(int(count[1].replace(",", "")) + 3 if count else 1 for count in counts)
print(peak() - before, problems)
"""


def line(row: int) -> str:
    return f"u{row % 5000},item {row % 3000},{row % 5 + 1}.0,{1_600_000_000 + row}"


FAULTS = (
    lambda row: f"u{row},item {row}",
    lambda row: f"u{row % 5000},item {row % 3000},good,soon",
    lambda row: f'u{row % 5000},"item {row % 3000},1.0,{1_600_000_000 + row}',
    lambda row: f"u{row % 5000},item\0 {row % 3000},1.0,{1_600_000_000 + row}",
)
"""Too few fields, bad values, open quotes, and no text."""


def measure(path: Path, line: Callable[[int], str]) -> tuple[int, int]:
    path.write_text("user,item,rating,time\n" + "".join(f"{line(row)}\n" for row in range(LINES)))
    command = [sys.executable, "-c", SCRIPT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, problems = done.stdout.split()
    return int(peak), int(problems)


def test_half_the_lines_bad(tmp_path: Path) -> None:
    (tmp_path / "small.csv").write_text(f"user,item,rating,time\n{line(0)}\n")
    clean, none = measure(tmp_path / "clean.csv", line)
    assert none == 0
    faulty, problems = measure(
        tmp_path / "faulty.csv", lambda row: FAULTS[row // 2 % 4](row) if row % 2 else line(row)
    )
    assert problems >= LINES // 2
    assert faulty <= 2 * clean, f"{faulty:,} KiB against {clean:,} KiB"
