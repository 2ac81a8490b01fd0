"""What customers buy again, in the baskets of Online Retail: `make bench NAME=repurchases`.

The data are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names. One
seed; the interval is over customers. The last and the second last line of a customer's purchases
are held out, of which most are further lines of the same invoice.
"""

import sys

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.evaluation.base import interval, spread

CELL = "online-retail/seed-0"
ROWS = {
    "blend": "blend",
    "without": "blend without RepeatConsumption",
    "RepeatConsumption": "RepeatConsumption",
    "frequency": "how often the customer bought it",
    "Popularity": "popularity",
}
"""Titles of contenders."""


def main() -> None:
    """Run the cell and print the tables."""
    benchmark = Benchmark("repurchases")
    folder = data_folder()
    if folder is None and not benchmark.has(CELL):
        sys.exit("Name the folder of Online Retail with --data.")
    command = [sys.executable, "-m", "benchmarks.repurchases_run", "0", "{data}", "{out}"]
    benchmark.cell(CELL, command, 0, "metrics.json", data=folder)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set NDCG@10 of the held-out purchases, and by how much the blend is ahead, as Markdown."""
    metrics = cells[CELL]["metrics"]
    parts = "validation/{}/ndcg@10", "test/{}/ndcg@10", "test/{}/met/ndcg@10"
    rows = []
    for name, title in ROWS.items():
        values = [f"{metrics[part.format(name)]:.3f}" for part in parts]
        ahead = spread(interval(metrics, f"test/blend-minus-{name}/ndcg@10"))
        rows.append([title, *values, f"{metrics[f'test/{name}/discovered/ndcg@10']:.3f}", ahead])
    met, new = (int(metrics[f"test/blend/{part}/events"]) for part in ("met", "discovered"))
    head = ["NDCG@10", "validation", "test", f"bought before ({met:,})", f"new ({new:,})"]
    return markdown([*head, "blend ahead on test (95 %)"], rows)


if __name__ == "__main__":
    main()
