"""Measure one cell: ``python -m benchmarks.measure WHAT OUT SETTINGS``, settings as JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Cell


def main(what: str, out: str, given: str) -> None:
    """Measure, and leave ``metrics.json`` in the folder."""
    settings = json.loads(given)
    seed, options = settings.pop("seed"), settings.pop("options", [])
    cell = Cell(Path(out), seed, options, settings)
    module, _, function = what.partition(":")
    found = getattr(import_module(f"benchmarks.measure.{module}"), function or "measure")(cell)
    (Path(out) / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
