"""Virtual Taobao against its own environment: `make bench NAME=virtual_taobao`.

Arguments: ``--published FOLDER`` (or the variable LIGHTREC_VIRTUAL_TAOBAO), a checkout of the
published repository, github.com/eyounx/VirtualTaobao, which is no package; and ``--fresh``. Both
play random actions on one thread, then the same constant one: the best that a search finds.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import Benchmark, markdown
from benchmarks.ranking.environments import environment

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COLUMNS = {
    "steps_per_cpu_second": ("steps per CPU second", ",.0f"),
    "click_rate": ("click rate over all pages", ".4f"),
    "mean_session_click_rate": ("click rate, mean over sessions", ".4f"),
    "mean_session_length": ("pages a session", ".2f"),
    "constant_click_rate": ("click rate of one constant action for everybody", ".3f"),
}
CELLS = {"lightrec": "virtual-taobao/lightrec", "published": "virtual-taobao/published"}


def main() -> None:
    """Run both and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    given = os.environ.get("LIGHTREC_VIRTUAL_TAOBAO")
    arguments.add_argument("--published", type=Path, default=given and Path(given))
    arguments.add_argument("--fresh", action="store_true", help="measure anew")
    folder = arguments.parse_args().published
    if folder is None or not (folder / "virtualTB" / "envs" / "virtualTB.py").is_file():
        sys.exit(
            "The published environment is not there. Clone github.com/eyounx/VirtualTaobao and "
            "give the folder with --published, or in LIGHTREC_VIRTUAL_TAOBAO."
        )
    os.environ.update(dict.fromkeys(THREADS, "1"))
    benchmark = Benchmark("virtual_taobao")
    with tempfile.TemporaryDirectory() as kept:
        action = Path(kept) / "action.json"
        own = [sys.executable, "-m", "benchmarks.virtual_taobao_run", "{published}"]
        paths = {"published": folder.resolve(), "action": action}
        if not all(benchmark.has(key) for key in CELLS.values()):
            # Both are measured in one run, side by side, and the action must be the same.
            benchmark.stale |= set(CELLS.values())
        benchmark.cell(CELLS["lightrec"], [*own, "{out}/m.json", "{action}"], 0, "m.json", **paths)
        python = (
            ""
            if benchmark.has(CELLS["published"])
            else environment("virtual_taobao", HERE / "requirements")
        )
        peer = [python, "benchmarks/virtual_taobao_peer.py", "{published}"]
        benchmark.cell(
            CELLS["published"], [*peer, "{out}/m.json", "{action}"], 0, "m.json", **paths
        )
    speed = {
        name: benchmark.cells[key]["metrics"]["steps_per_cpu_second"] for name, key in CELLS.items()
    }
    benchmark.numbers["speed_ratio"] = round(speed["lightrec"] / speed["published"], 1)
    benchmark.write()
    print(table(benchmark.cells))
    print(f"speed ratio: {benchmark.numbers['speed_ratio']}")


def table(cells: dict[str, dict]) -> str:
    """Set lightrec beside the published environment as Markdown."""
    found = [cells[key]["metrics"] for key in CELLS.values()]
    rows = [
        [name, *(format(metrics[key], form) for metrics in found)]
        for key, (name, form) in COLUMNS.items()
    ]
    return markdown(["", "lightrec", "published environment"], rows)


def times_as_fast(cells: dict[str, dict]) -> str:
    """Give how many times the published environment's steps lightrec plays in a CPU second."""
    own, other = (cells[key]["metrics"]["steps_per_cpu_second"] for key in CELLS.values())
    return f"{own / other:.0f}"


if __name__ == "__main__":
    main()
