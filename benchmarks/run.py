"""The one runner of benchmarks: `make bench NAME=video`, or `python -m benchmarks.run video`.

``benchmarks/cells/NAME.yaml`` holds a benchmark as data: ``cells`` by their keys, and ``tables``
for the documentation, see :mod:`benchmarks.table`. A cell has one of

- ``run``: words of `lightrec run`; ``metrics`` is the JSON file of the run that is kept;
- ``measure``: a module of :mod:`benchmarks.measure`, or a function such as ``generate:decoder``,
  with ``options`` of `lightrec run` and other settings of its own;
- ``peer``: an environment of ``benchmarks/peers/requirements``, with ``script`` and ``arguments``.

``{seed}`` in a key makes a cell of each of the ``seeds``, and ``each: {name: [value, …]}`` one of
each value of ``{name}``. ``files`` names functions of :mod:`benchmarks.logs` that write what stands
under ``{files}``; ``{data}`` is the folder of the public data sets. A cell whose result is there is
not run again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import yaml

from benchmarks import LIGHTREC, logs, store, table
from benchmarks.peers.environments import environment

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class Cell:
    """One command that is measured once.

    :param command: ``{out}`` in it stands for a temporary folder, ``{data}`` for the data sets',
        ``{files}`` for that of logs written before, ``{python}`` for the interpreter.
    :param metrics: a JSON file below ``{out}`` whose keys are kept; None: time and memory alone.
    :param peer: the environment whose Python runs it; None: lightrec's own.
    :param optional: whether it is run only where ``--only`` names it.
    """

    key: str
    seed: int
    command: tuple[str, ...]
    metrics: str | None = None
    files: tuple[str, ...] = ()
    peer: str | None = None
    optional: bool = False
    threads: int | None = None

    def needs_data(self) -> bool:
        """Say whether it reads public data sets."""
        return "{data}" in " ".join(self.command) or not {*self.files} <= logs.GENERATED


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as its file says it."""

    name: str
    cells: tuple[Cell, ...]
    limits: Mapping[str, str] = field(default_factory=dict)


def names() -> list[str]:
    """List the benchmarks."""
    return sorted(path.stem for path in (HERE / "cells").glob("*.yaml"))


def load(name: str, seeds: list[int] | None = None, fast: bool = False) -> Benchmark:
    """Read a benchmark's file.

    :param seeds: in place of the file's own.
    :param fast: take the settings under ``fast``, which only show that a cell can be run; lists are
        added to the cell's own.
    """
    path = HERE / "cells" / f"{name}.yaml"
    if not path.is_file():
        raise SystemExit(f"There is no benchmark {name!r}; there are {', '.join(names())}.")
    held = yaml.safe_load(path.read_text(encoding="utf-8"))
    shared = {k: held[k] for k in ("threads", "fast") if k in held}
    cells = [
        _cell(key, _filled(own, values), values["seed"], fast)
        for pattern, spec in held["cells"].items()
        for values in _draws(pattern, spec, seeds or held.get("seeds", [0]))
        for key, own in [(_filled(pattern, values), shared | spec)]
    ]
    return Benchmark(name, tuple(cells), held.get("limits", {}))


def _draws(pattern: str, spec: Mapping, seeds: list[int]) -> Iterator[dict[str, object]]:
    own = spec.get("seeds", seeds) if "{seed}" in pattern else [spec.get("seed", 0)]
    each = spec.get("each", {})
    for values in product(own, *each.values()):
        yield dict(zip(("seed", *each), values, strict=True))


def _filled(part: object, values: Mapping[str, object]) -> object:
    """Put values in place of their names in braces; a text that is one name becomes its value."""
    if isinstance(part, Mapping):
        return {_filled(name, values): _filled(own, values) for name, own in part.items()}
    if isinstance(part, list):
        return [_filled(own, values) for own in part]
    if isinstance(part, str):
        if part[1:-1] in values and part == f"{{{part[1:-1]}}}":
            return values[part[1:-1]]
        for name, value in values.items():
            part = part.replace(f"{{{name}}}", str(value))
    return part


def _cell(key: str, spec: Mapping, seed: int, fast: bool) -> Cell:
    spec = {name: part for name, part in spec.items() if name not in ("each", "seeds", "seed")}
    common = {name: spec.pop(name) for name in ("optional", "threads") if name in spec}
    common["files"] = tuple(spec.pop("files", ()))
    lighter = spec.pop("fast", {})
    if "run" in spec:
        where = "{out}/run"
        command = [LIGHTREC, "run", *spec["run"], "--seed", seed, "--out", where]
        command += ["--fast-dev-run"] if fast else []
        kept = spec.get("metrics", "metrics.json")
        common["metrics"] = kept and f"run/{kept}"
    elif "peer" in spec:
        common["peer"], common["metrics"] = spec["peer"], "metrics.json"
        script = os.path.relpath(HERE / "peers" / spec["script"])
        command = ["{python}", script, *spec["arguments"]]
    else:
        settings = {name: part for name, part in spec.items() if name != "measure"}
        for name, value in lighter.items() if fast else ():
            settings[name] = [*settings.get(name, []), *value] if isinstance(value, list) else value
        settings |= {"seed": seed, "options": [*map(str, settings.get("options", []))]}
        command = [sys.executable, "-m", "benchmarks.measure", spec["measure"], "{out}"]
        command.append(json.dumps(settings))
        common["metrics"] = "metrics.json"
    return Cell(key, seed, tuple(map(str, command)), **common)


class Runner:
    """Runs the cells of a benchmark that have no result yet, and keeps what they say.

    :param data: folder of the public data sets; cells that read them are left out without.
    :param kept: whether results are written.
    """

    def __init__(self, benchmark: Benchmark, data: Path | None, kept: bool = True) -> None:
        self.benchmark, self.data, self.kept = benchmark, data, kept
        self.cells = store.read(benchmark.name) if kept else {}

    def run(self, wanted: list[Cell]) -> None:
        """Run cells one after the other."""
        with tempfile.TemporaryDirectory() as files:
            for cell in wanted:
                if cell.needs_data() and self.data is None:
                    print(f"{cell.key}: left out, name the folder of the data sets with --data")
                    continue
                for name in cell.files:
                    logs.write(name, self.data, Path(files), cell.seed)
                self.measure(cell, Path(files))

    def measure(self, cell: Cell, files: Path) -> dict:
        """Run one cell.

        :raises RuntimeError: where the command fails.
        """
        print(f"{cell.key}: {shown(cell)}", flush=True)
        python = environment(cell.peer) if cell.peer else sys.executable
        with tempfile.TemporaryDirectory() as out:
            places = {"out": out, "files": files, "data": self.data, "python": python}
            # Not str.format: a setting may be JSON, with braces of its own.
            command = [str(_filled(part, places)) for part in cell.command]
            threads = dict.fromkeys(THREADS, str(cell.threads)) if cell.threads else {}
            process = subprocess.Popen(command, env=os.environ | threads)
            _, status, usage = os.wait4(process.pid, 0)
            if code := os.waitstatus_to_exitcode(status):
                raise RuntimeError(f"The cell {cell.key} failed with status {code}.")
            found = json.loads((Path(out) / cell.metrics).read_text()) if cell.metrics else {}
        given = {name: found.pop(name) for name in ("python", "versions") if name in found}
        self.cells[cell.key] = {
            **store.origin(),
            **given,
            "command": shown(cell),
            "seed": cell.seed,
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "peak_resident_mib": round(usage.ru_maxrss / 1024),
            "metrics": found,
        }
        if self.kept:
            store.write(self.benchmark.name, self.cells)
        return self.cells[cell.key]


def shown(cell: Cell) -> str:
    """Write a cell's command without what differs between machines."""
    own = {LIGHTREC: "lightrec", sys.executable: "python"}
    return " ".join(own.get(part, part) for part in cell.command)


def broken(benchmark: Benchmark) -> list[str]:
    """List the limits that results break.

    A limit is ``{"mean~ml-100k/seed-*|test/ndcg@10": ">= 0.136"}``, or one for each cell and metric
    that match, without ``mean~``.
    """
    said = []
    for name, limit in benchmark.limits.items():
        how, _, place = name.rpartition("~")
        values = table.numbers(benchmark.name, *place.split("|"))
        values = [table.FIGURES[how](values)] if how else values
        sign, bound = limit.split()
        worst = max(values) if sign == "<=" else min(values)
        if (worst > float(bound)) if sign == "<=" else (worst < float(bound)):
            said.append(f"{benchmark.name}: {name} is {worst:.4g}, and should be {limit}.")
    return said


def hold(chosen: list[str]) -> None:
    """End with the limits of benchmarks that their results break, where there are any."""
    said = []
    for name in chosen:
        try:
            said += broken(load(name))
        except (LookupError, FileNotFoundError) as missing:
            said.append(f"{name}: {missing}")
    if said:
        raise SystemExit("\n".join(said))


def named(benchmark: Benchmark, only: list[str]) -> list[Cell]:
    """List the cells that go by one of these keys or patterns or else begin so; without, the usual.

    :param only: ``day-3`` is no other day where there is a cell of this name.
    """
    keys = {cell.key for cell in benchmark.cells}
    patterns = [each if each in keys else f"{each}*" for each in only]
    return [
        cell
        for cell in benchmark.cells
        if (any(fnmatchcase(cell.key, each) for each in patterns) if only else not cell.optional)
    ]


def main() -> None:
    """Run cells and print the tables; `limits` holds all results to their limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("name", choices=[*names(), "limits"])
    parser.add_argument("--only", nargs="*", default=[], help="keys, or how they begin")
    parser.add_argument("--seeds", type=int, nargs="*", help="in place of the file's")
    parser.add_argument("--data", type=Path, default=os.environ.get("LIGHTREC_TEST_DATA"))
    parser.add_argument("--fresh", action="store_true", help="measure anew what is run")
    parser.add_argument("--fast", action="store_true", help="try the commands; nothing is kept")
    parser.add_argument("--print", action="store_true", help="print the commands, and run nothing")
    chosen = parser.parse_args()
    if chosen.name == "limits":
        return hold(names())
    benchmark = load(chosen.name, chosen.seeds, chosen.fast)
    runner = Runner(benchmark, chosen.data and Path(chosen.data), kept=not chosen.fast)
    wanted = named(benchmark, chosen.only)
    if chosen.print:
        return print(*(f"{cell.key}: {shown(cell)}" for cell in wanted), sep="\n")
    runner.run([cell for cell in wanted if chosen.fresh or cell.key not in runner.cells])
    if chosen.fast:
        for key, cell in runner.cells.items():
            print(key, cell["metrics"])
        return None
    print(*table.tables(chosen.name), sep="\n\n")
    from benchmarks.pictures import DRAWN

    DRAWN.get(chosen.name, lambda: None)()
    return None if chosen.only else hold([chosen.name])


if __name__ == "__main__":
    main()
