"""How soon commands answer from cold: CPU seconds of whole processes, over those of the imports.

All alternate with ``python -c "import torch, polars"``; what counts is the median over the rounds
of the ratio within a round, so that other work on the machine weighs on both sides. lightrec is
compiled to byte code, as pip leaves it. The run's trainings are cut short: what a model weighs and
reads is the same as after a whole training.
"""

import os
import shlex
import statistics
import subprocess
import sys

from benchmarks import LIGHTREC
from benchmarks.measure import Cell, cpu_seconds


def measure(cell: Cell) -> dict[str, float]:
    """Medians of the CPU seconds and of their ratios to the imports'."""
    run = str(cell.run("video", "--until", "policy", "--fast-dev-run").path)
    lists = str(cell.out / "lists.csv")
    everybody = ["recommend", run, "--by", "blend", "--all", "--before", "test", "--out", lists]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    cpu_seconds([LIGHTREC, *everybody], **quiet)
    places = {"RUN": run, "FILE": lists}
    commands = {"imports": [sys.executable, "-c", "import torch, polars"]} | {
        line: [LIGHTREC, *(places.get(word, word) for word in shlex.split(line))]
        for line in cell["commands"]
    }
    rounds = [
        {name: cpu_seconds(each, **quiet) for name, each in commands.items()}
        for _ in range(cell["rounds"] + 1)
    ]
    del rounds[0]  # the first one fills the caches of the disk
    metrics = {}
    for name in commands:
        metrics[f"{name}/cpu_seconds"] = statistics.median(each[name] for each in rounds)
        ratios = [each[name] / each["imports"] for each in rounds]
        metrics[f"{name}/times_the_imports"] = statistics.median(ratios)
    return metrics
