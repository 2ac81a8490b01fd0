"""What `make demo` leaves; the report's picture is put among the documentation's."""

import shutil
from pathlib import Path

from benchmarks.measure import Cell

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "demo.png"


def measure(cell: Cell) -> dict[str, float]:
    """Run the demo, and keep metrics and picture."""
    run = cell.run("video", *cell.options)
    if not cell.options:
        shutil.copyfile(run.path / "report.png", PICTURE)
    return run.metrics("evaluate")
