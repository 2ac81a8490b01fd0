"""What attributes of items and users gain: `make bench NAME=attributes`.

Newcomers are ranked for by their attributes alone, each by what other users chose; user models
(of users and items) and rankers (of items alone) read attributes or do not. On the purchases of the
made-up shop, another one for each seed, and on MovieLens-100K, as published, from the folder that
``--data`` or the variable LIGHTREC_TEST_DATA names.
"""

import sys
from statistics import fmean

from benchmarks.cells import Benchmark, data_folder, markdown

FIT = [sys.executable, "-m", "benchmarks.attributes_fit", "{out}"]
SEEDS = (3, 4, 5)
LOGS = {"shop": "made-up shop", "ml-100k": "MovieLens-100K"}
ROWS = {
    "newcomer's first event, popularity (NDCG@10)": ("newcomers", "popularity/first/ndcg@10"),
    "newcomer's first event, attributes": ("newcomers", "demographic/first/ndcg@10"),
    "newcomer's first ten events, popularity": ("newcomers", "popularity/first_ten/ndcg@10"),
    "… popularity among first ten events": ("newcomers", "first_popularity/first_ten/ndcg@10"),
    "… attributes": ("newcomers", "demographic/first_ten/ndcg@10"),
    "… gain over popularity": ("newcomers", "demographic/first_ten/ndcg@10/gain"),
    "… its 95 % interval, ±": ("newcomers", "demographic/first_ten/ndcg@10/gain_error"),
    "held-out choice, popularity (log-likelihood)": ("choices", "popularity/log_likelihood"),
    "… user model with texts": ("choices", "texts/log_likelihood"),
    "… with attributes of items and users": ("choices", "attributes/log_likelihood"),
    "… with both": ("choices", "both/log_likelihood"),
}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("attributes")
    folder = data_folder()
    for part in ("newcomers", "choices"):
        for log in LOGS:
            if log != "shop" and folder is None:
                print("MovieLens-100K is left out: name its folder with --data.")
                continue
            for seed in SEEDS:
                command = [*FIT, log, part, "--seed", str(seed)]
                paths = {}
                if log != "shop":
                    command, paths = [*command, "--data", "{data}"], {"data": folder}
                key = f"{log}/{part}/seed-{seed}"
                benchmark.cell(key, command, seed, "metrics.json", **paths)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set the means over seeds, log by log, as Markdown."""
    rows = []
    for words, (part, name) in ROWS.items():
        row = [words]
        for log in LOGS:
            keys = [f"{log}/{part}/seed-{seed}" for seed in SEEDS]
            values = [cells[key]["metrics"][name] for key in keys if key in cells]
            row.append(f"{fmean(values):.4f}" if values else "–")
        rows.append(row)
    return markdown(["", *LOGS.values()], rows)


if __name__ == "__main__":
    main()
