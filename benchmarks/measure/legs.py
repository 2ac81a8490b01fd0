"""A line of `lightrec run` that takes hours: stopped with its measurement, it goes on from there.

The run's folder stays in the cache until the run is done, with what each leg took so far.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from benchmarks import logs
from benchmarks.measure import Cell, resident
from lightrec.data.files import STAMP, cache_folder


class Steps(pl.Callback):
    """Steps a CPU second of a training's first epoch, and the peak until its last step.

    :param folder: where both are written, as ``steps.json``. A file that is named here would count
        as an input, and a stage would be outdated as soon as it has been written.
    """

    def __init__(self, folder: str) -> None:
        self.out, self.begun = Path(folder) / "steps.json", 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        done = trainer.fit_loop.epoch_loop.batch_idx
        if done == 0:
            self.begun = time.process_time()
        elif done + 1 == trainer.num_training_batches:
            rate = done / (time.process_time() - self.begun)
            self.out.write_text(json.dumps({"per_second": rate, "peak_gib": resident()}))


def taken(process: int) -> float:
    """CPU seconds of a process so far; its own, and those of children that have ended."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")


def measure(cell: Cell) -> dict[str, float]:
    """Run the line to its end: CPU seconds of each stage, in all legs together, and the peaks."""
    name = cell["log"]
    folder = cache_folder() / "bench" / f"run-{name}-{cell.seed}"
    files, out, noted = folder / "files", folder / "run", folder / "legs.json"
    steps, callback = folder / "steps.json", "--ranker.trainer.callbacks"
    files.mkdir(parents=True, exist_ok=True)
    logs.write(name, None, files, cell.seed)
    legs = json.loads(noted.read_text()) if noted.is_file() else []
    (log,) = [*files.glob(f"{name}.parquet")] or [*files.glob(f"{name}.csv")]
    words = [str(word) for word in cell["words"]]
    words += ["--log", log, "--items", files / f"{name}_items.csv"]
    words += [f"{callback}+={__name__}.Steps", f"{callback}.folder={folder}"]
    command = [sys.executable, "-m", "lightrec", "run", *words]
    command += ["--seed", str(cell.seed), "--out", out]
    process = subprocess.Popen(command)
    legs.append(leg := {})
    before = 0.0
    while process.poll() is None:
        # What is used now counts for the stage after those that are done.
        done, now = str(len([*out.glob(f"*/{STAMP}")])), taken(process.pid)
        if done not in leg:
            leg[done] = {"seconds": 0.0, "peak": 0.0}
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
        leg[done]["seconds"] += now - before
        leg[done]["peak"] = max(leg[done]["peak"], resident(process.pid))
        before = now
        noted.write_text(json.dumps(legs))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(process.returncode)
    found: dict[str, float] = {"legs": len(legs)}
    if steps.is_file():  # an epoch of one step has no rate
        found |= {f"steps/{name}": value for name, value in json.loads(steps.read_text()).items()}
    stages = sorted(out.glob(f"*/{STAMP}"), key=lambda stamp: stamp.stat().st_mtime)
    for number, stamp in enumerate(stages):
        own = [leg[str(number)] for leg in legs if str(number) in leg]
        found[f"{stamp.parent.name}/seconds"] = sum(each["seconds"] for each in own)
        found[f"{stamp.parent.name}/peak_gib"] = max(each["peak"] for each in own)
    found["peak_gib"] = max(value for name, value in found.items() if name.endswith("/peak_gib"))
    shutil.rmtree(folder)
    return found
