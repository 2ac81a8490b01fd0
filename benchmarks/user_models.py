"""User models against the truth, popularity and the ranker: `make bench NAME=user_models`.

A world's log of 100,000 training sessions, from a law that the log shows wholly (`types-1`) and
from one with hidden types of users (`types-6`). MovieLens-100K and the MIND sample are read, as
published, from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names.
"""

import sys

from benchmarks.cells import Benchmark, data_folder, markdown, today

FIT = [sys.executable, "-m", "benchmarks.user_models_fit", "{out}"]


def main() -> None:
    """Run the cells and print the tables."""
    benchmark = Benchmark("user_models")
    for types in (1, 6):
        command = [*FIT, "world", "--types", str(types)]
        benchmark.cell(f"world/types-{types}", command, 0, "metrics.json")
    folder = data_folder()
    if folder is None:
        print("MovieLens-100K and MIND are left out: name their folder with --data.")
    else:
        for log in ("ml-100k", "mind"):
            command = [*FIT, log, "--data", "{data}"]
            benchmark.cell(log, command, 0, "metrics.json", data=folder)
    cells = today(benchmark.cells)
    print(world(cells), real(cells), sep="\n\n")


def world(cells: dict[str, dict]) -> str:
    """Set the user model of the world with hidden types beside the truth."""
    found = cells["world/types-6"]["metrics"]
    lost = found["truth/share_lost"]
    truth = f"{found['truth/log_likelihood']:.4f} truth ({lost:.2%} away)"
    halves = found["length/total_variation/real_halves"]
    rows = [
        [
            "log-likelihood of a held-out choice",
            f"{found['log_likelihood']:.4f}",
            f"{truth}, {found['popularity']:.4f} popularity",
        ],
        ["expected calibration error", f"{found['calibration_error']:.4f}", ""],
        [
            "session length, total variation from the real one",
            f"{found['length/total_variation']:.4f}",
            f"{halves:.4f} between two halves of the real sessions",
        ],
        ["mean length", f"{found['length/simulated']:.2f}", f"{found['length/real']:.2f}"],
    ]
    return markdown(["", "user model", "compared with"], rows)


def real(cells: dict[str, dict]) -> str:
    """Set the user models of the real logs beside popularity and the calibrated ranker."""
    stages = [(log, stage) for log in ("ml-100k", "mind") for stage in ("users_a", "users_b")]
    metrics = {
        "log_likelihood": "user model",
        "popularity": "popularity",
        "blend/log_likelihood": "blend, calibrated",
        "minus-ranker": "user model − ranker",
        "calibration_error": "calibration error",
    }
    rows = [
        [words, *(f"{cells[log]['metrics'][f'{stage}/{name}']:.4f}" for log, stage in stages)]
        for name, words in metrics.items()
    ]
    return markdown(["log-likelihood", "MovieLens A", "MovieLens B", "MIND A", "MIND B"], rows)


if __name__ == "__main__":
    main()
