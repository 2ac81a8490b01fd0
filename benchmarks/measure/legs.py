"""A line of `lightrec run` that takes hours: stopped with its measurement, it goes on from there.

The run's folder stays in the cache until the run is done, with what each leg took so far.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import LIGHTREC, logs
from benchmarks.measure import Cell, resident
from lightrec.data.files import STAMP, cache_folder


def taken(process: int) -> float:
    """CPU seconds of a process so far; its own, and those of children that have ended."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")


def measure(cell: Cell) -> dict[str, float]:
    """Run the line to its end: CPU seconds of each stage, in all legs together, and the peak."""
    name = cell["log"]
    folder = cache_folder() / "bench" / f"run-{name}-{cell.seed}"
    files, out, noted = folder / "files", folder / "run", folder / "legs.json"
    files.mkdir(parents=True, exist_ok=True)
    logs.write(name, None, files, cell.seed)
    legs = json.loads(noted.read_text()) if noted.is_file() else []
    tables = ["--log", files / f"{name}.csv", "--items", files / f"{name}_items.csv"]
    words = [str(word) for word in cell["words"]]
    command = [LIGHTREC, "run", *words, *tables, "--seed", str(cell.seed), "--out", out]
    process = subprocess.Popen(command)
    legs.append(leg := {"peak": 0.0})
    before = 0.0
    while process.poll() is None:
        # What is used now counts for the stage after those that are done.
        done, now = str(len([*out.glob(f"*/{STAMP}")])), taken(process.pid)
        leg[done], before = leg.get(done, 0.0) + now - before, now
        leg["peak"] = max(leg["peak"], resident(process.pid))
        noted.write_text(json.dumps(legs))
        time.sleep(1)
    if process.returncode:
        raise SystemExit(process.returncode)
    stages = sorted(out.glob(f"*/{STAMP}"), key=lambda stamp: stamp.stat().st_mtime)
    found = {"peak_gib": max(leg["peak"] for leg in legs), "legs": len(legs)}
    for number, stamp in enumerate(stages):
        found[f"{stamp.parent.name}/seconds"] = sum(leg.get(str(number), 0.0) for leg in legs)
    shutil.rmtree(folder)
    return found
