"""What the pages show of the demo: `make bench NAME=demo`, then `make pages`.

It runs what `make demo` runs, keeps the metrics and what `lightrec recommend` prints, and puts the
report's picture among the documentation's. `--run FOLDER` takes a finished run instead of a new
one, and `--fresh` records anew. `--record RUN FOLDER` writes ``metrics.json``.
"""

import argparse
import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import lightrec
from benchmarks.cells import Benchmark, today
from lightrec.__main__ import main as command
from lightrec.report.summary import summary as tables

KEY = "make-demo"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "demo.png"
ASKED = "recommend runs/video --user 42 -k 10"


def record(run: Path, out: Path) -> None:
    """Write a finished run's metrics with what it recommends, and copy its picture."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = command([str(run) if word == "runs/video" else word for word in ASKED.split()])
    if status:
        raise RuntimeError(f"`lightrec {ASKED}` ended with status {status}.")
    metrics = json.loads((run / "metrics.json").read_text())
    shutil.copyfile(run / "report.png", PICTURE)
    (out / "metrics.json").write_text(json.dumps(metrics | {"recommended": printed.getvalue()}))


def summary(cells: dict[str, dict]) -> str:
    """Give the tables that the demo prints, as a block of code."""
    return f"```\n{tables(cells[KEY]['metrics'])}```"


def recommended(cells: dict[str, dict]) -> str:
    """Give the recommendations for one user as the terminal shows them, as a block of code."""
    return f"```\n$ lightrec {ASKED}\n{cells[KEY]['metrics']['recommended']}```"


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
