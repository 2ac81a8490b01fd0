"""Wishes in words beside a history, on films and on cosmetics: `make bench NAME=wishes`.

The data are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names; ``--only
NAME`` runs the cells whose names begin so.
"""

import sys
from statistics import fmean

from benchmarks.cells import Benchmark, data_folder, markdown

SEEDS = range(3, 6)
LOGS = {
    "ml-100k": ["{data}/ml-100k"],
    "beauty": ["{data}/amazon-beauty-p5/log.csv", "{data}/amazon-beauty-p5/items.csv"],
}
TITLES = {"ml-100k": "films", "beauty": "cosmetics"}
TESTS = {
    "title-word": "a title word",
    "near-words": "three near words",
    "genre": "a genre word",
}
WAYS = {"words": "words", "vectors": "vectors", "both": "both"}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("wishes")
    folder = data_folder()
    for seed in SEEDS:
        for name, paths in LOGS.items():
            key = f"{name}/seed-{seed}"
            if not benchmark.wants(key):
                continue
            if folder is None and not benchmark.has(key):
                sys.exit("Name the folder of the data sets with --data.")
            command = [sys.executable, "-m", "benchmarks.wishes_run", str(seed), "{out}", *paths]
            benchmark.cell(key, command, seed, "metrics.json", data=folder)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set NDCG@10 of the held-out events, means over the seeds that were measured, as Markdown."""
    rows = []
    for name in LOGS:
        found = [each["metrics"] for key, each in sorted(cells.items()) if key.startswith(name)]
        for kind, history in (("history", "with"), ("alone", "without")):
            plain = fmean(each[f"without/{kind}/ndcg@10"] for each in found) if found else 0.0
            for test, title in TESTS.items():
                keys = [f"{test}/{way}/{kind}/ndcg@10" for way in WAYS]
                if not found or keys[0] not in found[0]:
                    continue
                values = [f"{fmean(each[key] for each in found):.3f}" for key in keys]
                count = f"{found[0][f'{test}/both/{kind}/events']:,}"
                rows.append([TITLES[name], title, count, history, f"{plain:.3f}", *values])
    head = ["log", "wish", "test events", "history", "no wish", *WAYS.values()]
    return markdown(head, rows)


if __name__ == "__main__":
    main()
