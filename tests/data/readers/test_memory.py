"""A faulty file takes no more than twice the memory of the clean one."""

import subprocess
import sys
from pathlib import Path

import pytest

LINES = 300_000

SCRIPT = """
import resource, sys
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
    problems = len(error.problems) + error.more
print(peak() - before, problems)
"""


def line(row: int) -> str:
    return f"u{row % 5000},item {row % 3000},{row % 5 + 1}.0,{1_600_000_000 + row}"


FAULTS = {
    "too few fields": lambda row: f"u{row},item {row}",
    "bad values": lambda row: f"u{row % 5000},item {row % 3000},good,soon",
    "open quotes": lambda row: f'u{row % 5000},"item {row % 3000},1.0,{1_600_000_000 + row}',
    "no text": lambda row: f"u{row % 5000},item\0 {row % 3000},1.0,{1_600_000_000 + row}",
}


def measure(path: Path) -> tuple[int, int]:
    command = [sys.executable, "-c", SCRIPT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, problems = done.stdout.split()
    return int(peak), int(problems)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("memory")
    header = "user,item,rating,time\n"
    (folder / "small.csv").write_text(header + line(0) + "\n")
    path = folder / "clean.csv"
    path.write_text(header + "".join(f"{line(row)}\n" for row in range(LINES)))
    peak, problems = measure(path)
    assert problems == 0
    return path, peak


@pytest.mark.parametrize("fault", FAULTS)
def test_half_the_lines_bad(fault: str, clean: tuple[Path, int]) -> None:
    path = clean[0].with_name("faulty.csv")
    bad = FAULTS[fault]
    lines = (bad(row) if row % 2 else line(row) for row in range(LINES))
    path.write_text("user,item,rating,time\n" + "".join(f"{text}\n" for text in lines))
    peak, problems = measure(path)
    assert problems >= (1 if fault == "no text" else LINES // 2)
    assert peak <= 2 * clean[1], f"{peak:,} KiB against {clean[1]:,} KiB"
