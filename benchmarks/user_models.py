"""User models against the truth, popularity and the encoder: `make bench NAME=user_models`.

A world's log of 100,000 training sessions, from a law that the log shows wholly (`types-1`) and
from one with hidden types of users (`types-6`). MovieLens-100K and the MIND sample are read, as
published, from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names.
"""

import os
import sys
from pathlib import Path

from benchmarks.cells import Benchmark

FIT = [sys.executable, "-m", "benchmarks.user_models_fit", "{out}"]
WORLD = [
    "log_likelihood",
    "truth/log_likelihood",
    "truth/share_lost",
    "calibration_error",
    "length/total_variation",
    "length/total_variation/real_halves",
]
REAL = [
    f"{stage}/{name}"
    for stage in ("reward", "judge")
    for name in (
        "log_likelihood",
        "popularity",
        "blend/log_likelihood",
        "ranker/log_likelihood",
        "minus-encoder",
        "calibration_error",
        "auc",
        "other_half/auc",
    )
]


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("user_models")
    for types in (1, 6):
        command = [*FIT, "world", "--types", str(types)]
        benchmark.cell(f"world/types-{types}", command, 0, "metrics.json")
    folder = os.environ.get("LIGHTREC_TEST_DATA")
    if "--data" in sys.argv:
        folder = sys.argv[sys.argv.index("--data") + 1]
    if folder is None:
        print("MovieLens-100K and MIND are left out: name their folder with --data.")
    else:
        for log in ("ml-100k", "mind"):
            command = [*FIT, log, "--data", "{data}"]
            benchmark.cell(log, command, 0, "metrics.json", data=Path(folder))
    for prefix, names in (("world/", WORLD), ("m", REAL)):
        print(table(benchmark, prefix, names), end="\n\n")


def table(benchmark: Benchmark, prefix: str, names: list[str]) -> str:
    """Set some cells' metrics as a Markdown table, a metric a line."""
    cells = {key: cell for key, cell in benchmark.cells.items() if key.startswith(prefix)}
    lines = ["| | " + " | ".join(cells) + " |", "| --- " * (len(cells) + 1) + "|"]
    for name in names:
        values = [cell["metrics"].get(name) for cell in cells.values()]
        shown = ["–" if value is None else f"{value:.4f}" for value in values]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
