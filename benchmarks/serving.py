"""Answers a second of the service: `make bench NAME=serving`, best on an idle machine.

An export with 100,000 items of width 64, histories of 50 events, slates of 10: one client, then 32,
over loopback, client included; and beside it a small service of implicit's ALS with as many items.
"""

import sys

from benchmarks.cells import Benchmark, markdown

NAMES = {"lightrec": "lightrec (sessions, store, filters)", "als": "implicit's ALS behind FastAPI"}
COLUMNS = {"p50_ms": ".1f", "p99_ms": ".1f", "answers_per_second": ".0f", "errors": ".0f"}


def main() -> None:
    """Run the cell and print the tables."""
    benchmark = Benchmark("serving")
    command = [sys.executable, "-m", "benchmarks.serving_run", "{out}", "3"]
    benchmark.cell("loopback/seed-3", command, 3, "metrics.json")
    print(table(benchmark.cells), more(benchmark.cells), sep="\n\n")


def table(cells: dict[str, dict]) -> str:
    """Set latencies and rates."""
    found = cells["loopback/seed-3"]["metrics"]
    rows = []
    for name, title in NAMES.items():
        for clients in ("1", "32"):
            own = (f"{found[f'{name}/{clients}/{each}']:{form}}" for each, form in COLUMNS.items())
            rows.append([title, clients, *own])
    head = ["service", "clients", "p50, ms", "p99, ms", "answers a second", "errors"]
    return markdown(head, rows)


def more(cells: dict[str, dict]) -> str:
    """Say what else was measured."""
    found = cells["loopback/seed-3"]["metrics"]
    recalls = [value for name, value in found.items() if name.startswith("recall/")]
    return (
        f"Of one client's time {found['neither']:.0%} went into neither tower nor search. Filters "
        f"that let 0.01 % to 50 % of the items pass: recall {min(recalls):.3f}. An item that was "
        f"put was in an answer {found['visible_ms']:.1f} ms later."
    )


if __name__ == "__main__":
    main()
