"""Resumable benchmark cells: one command, measured once, kept with how it was had.

A cell's result lies in ``benchmarks/results/NAME.json`` under its key, with commit, command, seed,
CPU seconds, peak memory, versions and machine. A cell that is there is not run again; ``--fresh``
as an argument measures anew whatever is run. ``--only NAME`` runs the cells whose keys begin so,
where a benchmark asks for it. Beside the cells the file may hold plain numbers under flat keys.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("lightning", "torch", "transformers", "torchrl", "tensordict", "polars")
STAGES = {"reward/": "users_a/", "judge/": "users_b/", "minus-encoder": "minus-ranker"}
SESSIONS = ("simulator", "share_kept/")
RENAMED = {
    r"/return\b": "/accepted",
    r"/reward\b(?!_)": "/return",
    r"^share_kept/": "transfer_ratio/",
}
LIGHTREC = str(Path(sys.executable).parent / "lightrec")


def commit() -> str:
    """Give the commit under measurement, marked where files differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    code = ["lightrec", "plugins", "recipes", "benchmarks", ":(exclude)benchmarks/results"]
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", *code], capture_output=True, text=True
    )
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def machine() -> str:
    """Give processor, cores and system in words."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def option(name: str, default: str = "") -> str:
    """Give what follows an option on the command line, such as ``--only``."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def data_folder() -> Path | None:
    """Give the folder of the data sets: ``--data``, or else the variable LIGHTREC_TEST_DATA."""
    found = option("--data", os.environ.get("LIGHTREC_TEST_DATA", ""))
    return Path(found) if found else None


class Benchmark:
    """The cells of one benchmark.

    :param name: of the module and of its results file.
    """

    def __init__(self, name: str) -> None:
        self.path = RESULTS / f"{name}.json"
        held = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.cells = {key: value for key, value in held.items() if isinstance(value, dict)}
        self.stale = set(self.cells) if "--fresh" in sys.argv else set()
        self.numbers: dict[str, float | None] = {}

    def has(self, key: str) -> bool:
        """Say whether a cell is there and need not be measured anew."""
        return key in self.cells and key not in self.stale

    def wants(self, key: str) -> bool:
        """Say whether a cell is among those asked for by ``--only``."""
        return key.startswith(option("--only"))

    def cell(
        self,
        key: str,
        command: list[str],
        seed: int,
        metrics: str | None = None,
        **paths: Path | None,
    ) -> dict:
        """Run a command unless its result is there.

        :param key: such as ``ml-100k/seed-0``.
        :param command: ``{out}`` in it stands for a temporary folder, ``{NAME}`` for ``paths``'s.
        :param metrics: a JSON file below ``{out}`` whose keys join the result; ``python`` and
            ``versions`` in it, of another environment, take the place of lightrec's own.
        :param paths: files and folders that do not belong into the result, such as the log's.
        :raises RuntimeError: where the command fails.
        """
        if self.has(key):
            print(f"{key}: kept")
            return self.cells[key]
        print(f"{key}: {' '.join(command)}", flush=True)
        with tempfile.TemporaryDirectory() as out:
            places = {f"{{{name}}}": str(path) for name, path in {"out": out, **paths}.items()}
            process = subprocess.Popen([_put(part, places) for part in command])
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise RuntimeError(f"The cell {key} failed with status {status}.")
            found = json.loads((Path(out) / metrics).read_text()) if metrics else {}
        self.cells[key] = {
            "commit": commit(),
            "command": " ".join(
                Path(p).name if p in (LIGHTREC, sys.executable) else p for p in command
            ),
            "seed": seed,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "peak_resident_mib": round(usage.ru_maxrss / 1024),
            "machine": machine(),
            "python": found.pop("python", platform.python_version()),
            "versions": found.pop("versions", {name: version(name) for name in PACKAGES}),
            "metrics": found,
        }
        self.stale.discard(key)
        self.write()
        return self.cells[key]

    def write(self) -> None:
        """Write cells and numbers, whole or not at all."""
        RESULTS.mkdir(exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.cells | self.numbers, indent=2, sort_keys=True) + "\n")
        os.replace(partial, self.path)


def on_a_run(name: str, seed: int) -> dict[str, dict]:
    """Measure the one cell of a benchmark on a run of MovieLens-100K, and give the cells.

    The benchmark's module makes the run, unless ``--run`` names one.
    """
    benchmark, run = Benchmark(name), option("--run")
    command = [sys.executable, "-m", f"benchmarks.{name}", "{out}", *(["{run}"] if run else [])]
    benchmark.cell("ml-100k", command, seed, "metrics.json", run=Path(run))
    return benchmark.cells


def trained(out: Path, until: str) -> str:
    """Make a run of MovieLens-100K up to a stage, and give its folder.

    :raises subprocess.CalledProcessError: where it fails.
    """
    subprocess.run([LIGHTREC, "run", "video", "--out", out, "--until", until], check=True)
    return str(out)


def today(cells: dict[str, dict]) -> dict[str, dict]:
    """Give cells under the metrics' names of today; results keep the names of their time.

    Runs once gave the accepted items of a session as ``return`` and its rewards as ``reward``, the
    blend as ``encoder``, and user models A and B as ``reward`` and ``judge``.
    """
    return {key: cell | {"metrics": _today(cell["metrics"])} for key, cell in cells.items()}


def _today(metrics: dict) -> dict:
    metrics = {name.replace("test/encoder", "test/blend"): v for name, v in metrics.items()}
    if metrics.get("recommend/by") == "encoder":
        metrics["recommend/by"] = "blend"
    if "judge/minus-encoder" in metrics:
        for old, new in STAGES.items():
            metrics = {name.replace(old, new): value for name, value in metrics.items()}
    if "simulator/policy/return" not in metrics or "simulator/policy/accepted" in metrics:
        return metrics
    found = {}
    for name, value in metrics.items():
        if name.startswith(SESSIONS):
            for old, new in RENAMED.items():
                name = re.sub(old, new, name)
        found[name] = value
    return found


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Set a table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _put(text: str, places: dict[str, str]) -> str:
    # Not str.format: a setting may be JSON, with braces of its own.
    for name, place in places.items():
        text = text.replace(name, place)
    return text
