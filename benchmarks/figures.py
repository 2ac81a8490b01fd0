"""The benchmarks' figures in the documentation, which `make pages` writes.

``<!-- from far: far.table -->`` on a page asks for one. The first word names
``benchmarks/results/far.json``. Then comes what gives the text: a function of a benchmark's module,
which takes the file's cells, or one of :data:`BY_NAME`; then its arguments.
"""

import json
import statistics
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module

from benchmarks.cells import RESULTS, today

Cells = dict[str, dict]


def figure(results: str, name: str, *arguments: str) -> str:
    """Make what a page asks for of a results file."""
    module, _, function = name.rpartition(".")
    made = getattr(import_module(f"benchmarks.{module}"), function) if module else BY_NAME[name]
    return made(read(results), *arguments)


def read(results: str) -> Cells:
    """Give the cells of a results file."""
    held = json.loads((RESULTS / f"{results}.json").read_text(encoding="utf-8"))
    return today({key: cell for key, cell in held.items() if isinstance(cell, dict)})


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
