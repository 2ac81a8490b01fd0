"""Results of benchmarks: a file each, which is read as a tidy table.

``benchmarks/results/NAME.json`` holds a benchmark's cells under their keys, with commit, command,
seed, CPU seconds, peak memory, versions, machine and metrics. :func:`tidy` reads it as a table of
one row for each cell, seed and metric.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import polars as pl

from benchmarks.derived import DERIVED

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("lightning", "torch", "transformers", "torchrl", "tensordict", "polars")
OF_CELL = ("cpu_seconds", "peak_resident_mib")
SCHEMA = {
    "benchmark": pl.String,
    "cell": pl.String,
    "seed": pl.Int64,
    "commit": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "text": pl.String,
}
"""Columns of the tidy table; ``text`` has what is no number, such as a part's name."""
Cells = dict[str, dict]


def read(name: str) -> Cells:
    """Read the cells of a benchmark; none where nothing was measured.

    Results keep the metrics' names of their time: the blend was once called the encoder.
    """
    path = RESULTS / f"{name}.json"
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    cells = {key: cell for key, cell in held.items() if isinstance(cell, dict)}
    for cell in cells.values():
        cell["metrics"] = {
            metric.replace("test/encoder/", "test/blend/"): value
            for metric, value in cell["metrics"].items()
        }
    return cells


def write(name: str, cells: Mapping[str, dict]) -> None:
    """Write the cells of a benchmark, whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(cells, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, path)


def tidy(name: str) -> pl.DataFrame:
    """Set a benchmark's results as a table of :data:`SCHEMA`, with what follows from them.

    :raises FileNotFoundError: where there are none.
    """
    path = RESULTS / f"{name}.json"
    return _tidy(name, path, path.stat().st_mtime_ns)


@lru_cache
def _tidy(name: str, path: Path, changed: int) -> pl.DataFrame:
    cells, rows = read(name), []
    derived = DERIVED[name](cells) if name in DERIVED else {}
    for key in {**cells, **derived}:
        cell = cells.get(key, {})
        own = {each: cell[each] for each in OF_CELL if each in cell}
        metrics = own | cell.get("metrics", {}) | derived.get(key, {})
        metrics = {metric: v for metric, v in metrics.items() if isinstance(v, int | float | str)}
        where = (name, key, cell.get("seed"), cell.get("commit"))
        rows += [(*where, metric, *_value(value)) for metric, value in metrics.items()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _value(value: object) -> tuple[float | None, str | None]:
    return (None, value) if isinstance(value, str) else (float(value), None)


def origin() -> dict[str, object]:
    """Say what is measured, and where: commit, machine, Python and versions of packages."""
    return {
        "commit": commit(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def commit() -> str:
    """Name the commit under measurement, marked where files differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    code = ["lightrec", "plugins", "recipes", "benchmarks", ":(exclude)benchmarks/results"]
    code += [":(exclude)*.png"]  # which are drawn from results
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", *code], capture_output=True, text=True
    )
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def machine() -> str:
    """Name processor, cores and system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"
