"""How soon the command line answers from cold: `make bench NAME=keyboard`.

CPU seconds of whole processes, on one thread, over those of `python -c "import torch, polars"`. All
alternate; what counts is the median over the rounds of the ratio within a round, so that other work
on the machine weighs on both sides. lightrec is compiled to byte code, as pip leaves it. The run is
one of MovieLens-100K whose trainings were cut short, made once and kept in the system's folder for
temporary files: what a model weighs and reads is the same as after a whole training.
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import LIGHTREC, Benchmark, markdown

ROUNDS = 7
LIMITS = {
    "recommend RUN --user 42 --by blend": 1.25,
    "recommend RUN --user 42 --by policy": 1.25,
    "evaluate RUN --predictions FILE": 2.0,
    'similar RUN "Toy Story"': 1.25,
}
"""How many times as long as the imports a command may take."""
KEY = "ml-100k"
IMPORTS = "imports"


def cpu_seconds(command: list[str]) -> float:
    """Give user and system time of a process, which must end well."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=nothing, stderr=nothing, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} failed with status {status}.")
    return usage.ru_utime + usage.ru_stime


def measure(run: Path, folder: Path) -> None:
    """Write the medians of the CPU seconds and of their ratios to the imports'."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = folder / "lists.csv"
    everybody = ["recommend", str(run), "--by", "blend", "--all", "--before", "test"]
    cpu_seconds([LIGHTREC, *everybody, "--out", str(lists)])
    places = {"RUN": str(run), "FILE": str(lists)}
    commands = {IMPORTS: [sys.executable, "-c", "import torch, polars"]} | {
        name: [LIGHTREC, *(places.get(word, word) for word in shlex.split(name))] for name in LIMITS
    }
    rounds = [
        {name: cpu_seconds(each) for name, each in commands.items()} for _ in range(ROUNDS + 1)
    ]
    del rounds[0]  # the first one fills the caches of the disk
    found = {}
    for name in commands:
        found[f"{name}/cpu_seconds"] = statistics.median(each[name] for each in rounds)
        ratios = [each[name] / each[IMPORTS] for each in rounds]
        found[f"{name}/times_the_imports"] = statistics.median(ratios)
    (folder / "metrics.json").write_text(json.dumps(found))


def main() -> None:
    """Run the cell and print the table."""
    run = Path(tempfile.gettempdir()) / "lightrec-benchmark-keyboard" / "run"
    if "--measure" in sys.argv:
        measure(run, Path(sys.argv[sys.argv.index("--measure") + 1]))
        return
    until = ["--until", "policy", "--fast-dev-run"]
    subprocess.run([LIGHTREC, "run", "video", *until, "--out", str(run)], check=True)
    benchmark = Benchmark("keyboard")
    command = [sys.executable, "-m", "benchmarks.keyboard", "--measure", "{out}/measured"]
    found = benchmark.cell(KEY, command, 0, "measured/metrics.json")["metrics"]
    print(table(benchmark.cells))
    for name, limit in LIMITS.items():
        if (ratio := found[f"{name}/times_the_imports"]) > limit:
            raise RuntimeError(f"`{name}` takes {ratio:.2f} × the imports; at most {limit} ×.")


def table(cells: dict[str, dict]) -> str:
    """Set CPU seconds and ratios as Markdown."""
    found = cells[KEY]["metrics"]
    rows = [["`import torch, polars`", f"{found[f'{IMPORTS}/cpu_seconds']:.2f}", "1", ""]]
    for name, limit in LIMITS.items():
        seconds, ratio = (found[f"{name}/{key}"] for key in ("cpu_seconds", "times_the_imports"))
        rows.append([f"`lightrec {name}`", f"{seconds:.2f}", f"{ratio:.2f}", f"{limit}"])
    return markdown(["", "CPU seconds", "times the imports", "at most"], rows)


if __name__ == "__main__":
    main()
