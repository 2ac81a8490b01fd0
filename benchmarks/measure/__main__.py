"""Measure one cell: ``python -m benchmarks.measure MODULE OUT SETTINGS``, settings as JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Cell


def main(module: str, out: str, given: str) -> None:
    """Measure, and leave ``metrics.json`` in the folder."""
    settings = json.loads(given)
    seed, options = settings.pop("seed"), settings.pop("options", [])
    cell = Cell(Path(out), seed, options, settings)
    found = import_module(f"benchmarks.measure.{module}").measure(cell)
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
