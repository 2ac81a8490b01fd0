"""Puts the benchmarks' figures into the documentation: `make figures`.

A page asks for one with two comments, which its reader does not see, and what stands between them
is made from a results file:

    <!-- from far: far.table -->
    | … |
    <!-- end -->

    a gain of <!-- from far: mean far/seed-* truth/gain .3f -->0.080<!-- end -->

The first word names ``benchmarks/results/far.json``. Then comes what gives the text: a function of
a benchmark's module, which takes the file's cells, or a function of this module; then its
arguments. A test holds every page to what the files say.
"""

import json
import re
import statistics
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

from benchmarks.cells import RESULTS, today

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- from (\w+): (.+?) -->(.*?)<!-- end -->", re.DOTALL)
Cells = dict[str, dict]


def pages() -> list[Path]:
    """List the pages that may hold figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fill(text: str) -> str:
    """Put between each pair of marks what it asks for.

    :raises ValueError: where a mark asks for what is not there.
    """
    return MARKED.sub(_filled, text)


def _filled(mark: re.Match[str]) -> str:
    results, asked, held = mark.groups()
    name, *arguments = asked.split()
    alone = held.startswith("\n")
    if not alone and mark.start() == mark.string.rfind("\n", 0, mark.start()) + 1:
        raise ValueError(f"The mark `from {results}: {asked}` would end its paragraph: move it.")
    try:
        found = _function(name)(read(results), *arguments)
    except (OSError, ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"The mark `from {results}: {asked}` asks in vain: {error!r}.") from error
    found = f"\n{found}\n" if alone else found
    return f"<!-- from {results}: {asked} -->{found}<!-- end -->"


def read(results: str) -> Cells:
    """Give the cells of a results file."""
    held = json.loads((RESULTS / f"{results}.json").read_text(encoding="utf-8"))
    return today({key: cell for key, cell in held.items() if isinstance(cell, dict)})


def _function(name: str) -> Callable[..., str]:
    module, _, function = name.rpartition(".")
    return getattr(import_module(f"benchmarks.{module}"), function) if module else BY_NAME[name]


def numbers(cells: Cells, key: str, metric: str) -> list[float]:
    """Give the metrics of all cells whose names match, such as ``far/seed-*`` and ``truth/gain``.

    :raises LookupError: where there are none.
    """
    found = [
        value
        for cell_key, cell in cells.items()
        for name, value in (cell | cell["metrics"]).items()
        if fnmatchcase(cell_key, key) and fnmatchcase(name, metric)
    ]
    if not found:
        raise LookupError(f"no {metric} in {key}")
    return found


def _of(summary: Callable[[list[float]], float]) -> Callable[..., str]:
    def written(cells: Cells, key: str, metric: str, form: str) -> str:
        return format(summary(numbers(cells, key, metric)), form).replace("-", "−")

    return written


def _only(values: list[float]) -> float:
    (value,) = values
    return value


BY_NAME = {
    "value": _of(_only),
    "mean": _of(statistics.fmean),
    "lowest": _of(min),
    "highest": _of(max),
}
"""What takes patterns of cells' keys and of metrics, and a format of Python's."""


def main() -> None:
    """Write every page anew whose figures are not those of the results."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            page.write_text(filled, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
