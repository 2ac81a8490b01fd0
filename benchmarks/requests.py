"""Requests that a service should refuse, and a service that is killed: `make bench NAME=requests`.

10,000 malformed requests to a real server: answers by status, and its memory before and after. The
server is killed 20 times under load, over SQLite and over PostgreSQL: feedback that was
acknowledged and is lost, or counts twice. And it is told to end under load: requests that it had
begun and did not answer. All over a tiny run, or over ``--run``.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.cells import Benchmark, markdown, option

PARTS = ("malformed", "kills-sqlite", "kills-postgresql", "stop")


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("requests")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(option("--run")) if option("--run") else None
        for part in PARTS:
            key = f"{part}/seed-0"
            if not benchmark.wants(key):
                continue
            if run is None and not benchmark.has(key):
                from lightrec.testing.tiny import tiny_run

                run = tiny_run(Path(folder))
            command = [sys.executable, "-m", "benchmarks.requests_run", part, "{run}", "{out}", "0"]
            benchmark.cell(key, command, 0, "metrics.json", run=run)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set the numbers of all cells."""
    rows = [
        [key.partition("/")[0], name.replace("_", " "), f"{value:g}"]
        for key, cell in sorted(cells.items())
        for name, value in cell["metrics"].items()
    ]
    return markdown(["what", "counted", "found"], rows)


if __name__ == "__main__":
    main()
