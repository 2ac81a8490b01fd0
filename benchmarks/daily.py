"""Day by day: `lightrec update` each day against training anew: `make bench NAME=daily`.

Both are judged on the next day's events; so are the run that is left as it was, and popularity.
Logs and runs lie in the system's folder for temporary files, and finished cells are kept. `--set
NAME` takes one log, `--every N` trains anew and judges on every Nth day only, `--until K` stops
after day K. `--kills N` kills N updates instead, each at a moment drawn from the seed, and sees who
answers then, and that the same command ends as if nothing had been.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import LIGHTREC, Benchmark, markdown
from benchmarks.daily_logs import SETS, write
from lightrec.run import Run

RECIPES = {"ml-100k": ["video"], "online-retail": ["generic", "--repeats"]}
HEAD = ["log", "day", "events judged", "update", "anew", "left as it was", "popularity"]
HEAD += ["update − anew", "95 %", "CPU s, update", "CPU s, anew", "ratio"]


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", choices=[*SETS])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--until", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    benchmark = Benchmark("daily")
    for name in [chosen.set] if chosen.set else SETS:
        if chosen.kills:
            run_kills(benchmark, name, chosen.seed, chosen.kills)
        else:
            run_days(benchmark, name, chosen.seed, chosen.every, chosen.until)
    print(table(benchmark.cells))


def folder(name: str) -> Path:
    """Give the folder of a log's days and runs."""
    return Path(tempfile.gettempdir()) / "lightrec-benchmark-daily" / name


def beginning(name: str, seed: int) -> list[str]:
    """Give the command that trains on a log, without the log and where the run lies."""
    command = [LIGHTREC, "run", *RECIPES[name], "--items", "{logs}/items.csv", "--until", "ranker"]
    return command + (["--seed", str(seed)] if seed else [])


def make_base(begin: list[str], paths: dict[str, Path]) -> None:
    """Train on what was before the first day, unless it was; nothing is measured of it."""
    if not Run(paths["run"]).has("ranker"):
        base = [*begin, "--log", "{logs}/base.csv", "--out", "{run}"]
        subprocess.run([word.format(**paths) for word in base], check=True)


def run_kills(benchmark: Benchmark, name: str, seed: int, kills: int) -> None:
    """Kill updates with a log's first day."""
    logs = folder(name)
    paths = {"logs": logs, "run": logs / f"killed-{seed}", "copy": logs / f"killed-{seed}-copy"}
    write(name, Path(os.environ["LIGHTREC_TEST_DATA"]), logs)
    # Who answers does not depend on how well a ranker was trained.
    make_base([*beginning(name, seed), "--ranker.trainer.max_epochs", "2"], paths)
    command = [sys.executable, "-m", "benchmarks.daily_kills", "{run}", "{copy}"]
    command += ["{logs}/day-1.csv", str(kills), str(seed), "{out}/metrics.json"]
    benchmark.cell(f"{name}/seed-{seed}/kills", command, seed, "metrics.json", **paths)


def run_days(benchmark: Benchmark, name: str, seed: int, every: int, until: int | None) -> None:
    """Go through the days of a log."""
    logs = folder(name)
    run, anew = logs / f"run-{seed}", logs / f"anew-{seed}"
    paths = {"logs": logs, "run": run, "anew": anew}
    days = write(name, Path(os.environ["LIGHTREC_TEST_DATA"]), logs)
    begin, here = beginning(name, seed), f"{name}/seed-{seed}"
    make_base(begin, paths)
    for day in range(1, min(days, until or days) + 1):
        update = [LIGHTREC, "update", "{run}", "--log", f"{{logs}}/day-{day}.csv"]
        if Run(run).version <= day:
            if benchmark.has(f"{here}/day-{day}/update"):
                # The folder was lost; the cell stays what it was.
                subprocess.run([w.format(**paths) for w in update], check=True)
            else:
                benchmark.cell(f"{here}/day-{day}/update", update, seed, **paths)
        if day % every and day != days:
            continue
        if benchmark.has(f"{here}/day-{day}/judge"):
            continue
        shutil.rmtree(anew, ignore_errors=True)
        again = [*begin, "--log", f"{{logs}}/upto-{day}.csv", "--out", "{anew}"]
        benchmark.stale |= {f"{here}/day-{day}/anew"} & set(benchmark.cells)
        benchmark.cell(f"{here}/day-{day}/anew", again, seed, **paths)
        judge = [sys.executable, "-m", "benchmarks.daily_judge", "{run}", "{anew}"]
        judge += [f"{{logs}}/upto-{day}.csv", f"{{logs}}/day-{day + 1}.csv", "{out}/metrics.json"]
        benchmark.cell(f"{here}/day-{day}/judge", judge, seed, "metrics.json", **paths)


def table(cells: dict[str, dict]) -> str:
    """Set the judged days as Markdown."""
    return markdown(HEAD, rows(cells))


def rows(cells: dict[str, dict]) -> list[list[str]]:
    """Set each judged day as a row."""
    found = []
    for key in sorted((k for k in cells if k.endswith("/judge")), key=_place):
        name, _, day, _ = key.split("/")
        metrics, stem = cells[key]["metrics"], key.removesuffix("judge")
        row = [name, day.removeprefix("day-"), f"{metrics['events']:.0f}"]
        for contender in ("update", "anew", "left", "popularity"):
            row.append(f"{metrics[f'{contender}/ndcg@10']:.4f}")
        difference = "update-minus-anew/ndcg@10"
        row.append(f"{metrics[difference]:+.4f}")
        ends = [metrics.get(f"{difference}/{end}") for end in ("low", "high")]
        row.append("–" if None in ends else f"{ends[0]:+.4f} to {ends[1]:+.4f}")
        seconds = [cells[f"{stem}{one}"]["cpu_seconds"] for one in ("update", "anew")]
        row += [*(f"{each:.1f}" for each in seconds), f"{seconds[0] / seconds[1]:.3f}"]
        found.append(row)
    return found


def _place(key: str) -> tuple[str, str, int]:
    name, seed, day, _ = key.split("/")
    return name, seed, int(day.removeprefix("day-"))


if __name__ == "__main__":
    main()
