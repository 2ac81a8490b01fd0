"""The circle, live: served, exported, appended, estimated and judged: `make bench NAME=circle`.

Users of a simulator visit a run that is served as two arms; see :mod:`benchmarks.circle_run`. The
run is that of `lightrec run video`, and lies in the system's folder for temporary files. The
service draws slates by chance of its own, so that a cell measured anew has other numbers. The
temperatures were chosen so that sessions of either arm weigh enough for the other one; for that the
users of seed 0 played other sessions, of which only the weights were looked at.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import LIGHTREC, Benchmark, markdown
from lightrec.evaluation.base import spread
from lightrec.run import Run

SEED, SESSIONS, TEMPERATURES = 0, 2_000, ("1.0", "0.6")
HEAD = ["arm", "sessions served", "mean of its own", "estimated from the other arm", "truth"]
HEAD += ["effective sessions", "verdict"]
VERDICTS = ("unusable", "weak", "usable")


def main() -> None:
    """Run the cell and print the table."""
    benchmark = Benchmark("circle")
    run = Path(tempfile.gettempdir()) / "lightrec-benchmark-circle" / f"seed-{SEED}"
    if not Run(run).has("policy"):
        words = ["run", "video", "--seed", str(SEED), "--until", "policy", "--out", str(run)]
        subprocess.run([LIGHTREC, *words], check=True)
    command = [sys.executable, "-m", "benchmarks.circle_run", "{run}", "{out}", str(SEED)]
    command += [str(SESSIONS), *TEMPERATURES]
    benchmark.cell(f"ml-100k/seed-{SEED}", command, SEED, "metrics.json", run=run)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set each arm as a row, as Markdown."""
    rows = []
    for cell in cells.values():
        found = cell["metrics"]
        for place in range(len(TEMPERATURES)):
            own = {
                key.removeprefix(f"arm-{place}/"): value
                for key, value in found.items()
                if key.startswith(f"arm-{place}/")
            }
            row = [f"temperature {own['temperature']:g}", f"{own['sessions']:,}"]
            for name in ("served", "estimate", "truth"):
                ends = own[name], own[f"{name}/low"], own[f"{name}/high"]
                row.append(spread(ends, ".2f"))
            row.append(f"{own['estimate/effective']:.0f}")
            rows.append([*row, VERDICTS[own["estimate/verdict"]]])
    return markdown(HEAD, rows)


if __name__ == "__main__":
    main()
