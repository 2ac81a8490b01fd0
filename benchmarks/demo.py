"""What the pages show of the demo: `make bench NAME=demo`, then `make pages`.

It runs what `make demo` runs, keeps the metrics, and puts the report's picture among the
documentation's. `--run FOLDER` takes a finished run instead of a new
one, and `--fresh` records anew. `--record RUN FOLDER` writes ``metrics.json``.
"""

import argparse
import shutil
import sys
from pathlib import Path

import lightrec
from benchmarks.cells import Benchmark, today
from lightrec.report.summary import summary as tables

KEY = "make-demo"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.png"


def record(run: Path, out: Path) -> None:
    """Copy a finished run's metrics and its picture."""
    shutil.copyfile(run / "metrics.json", out / "metrics.json")
    shutil.copyfile(run / "report.png", PICTURE)


def summary(cells: dict[str, dict]) -> str:
    """Give the tables that the demo prints, as a block of code."""
    return f"```\n{tables(cells[KEY]['metrics'])}```"


def main() -> None:
    """Run the demo's cell and print its tables, or record a run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--record", type=Path, nargs=2)
    chosen = parser.parse_args()
    if chosen.record:
        run, out = chosen.record
        record(lightrec.fit("video", out=run), out)
        return
    benchmark = Benchmark("demo")
    run = "{run}" if chosen.run else "{out}/video"
    asked = [sys.executable, "-m", "benchmarks.demo", "--record", run, "{out}"]
    benchmark.cell(KEY, asked, 0, "metrics.json", run=chosen.run)
    print(tables(today(benchmark.cells)[KEY]["metrics"]))


if __name__ == "__main__":
    main()
