"""The worlds whose truth is known, three seeds: `make bench NAME=worlds`.

Returns of random, greedy and constant contenders, of a rule that knows the law, and of the world's
own oracle; in `far` also how far users' values are from their rewards. One thread each.
"""

import sys

from benchmarks.cells import Benchmark

SHOWN = [
    f"slate-{size}/{name}/return"
    for size in (1, 3)
    for name in ("random", "greedy", "constant", "constant-best", "rule", "oracle")
]


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("worlds")
    cells = [(world, seed) for world in ("greed", "far", "retention") for seed in range(3)]
    for world, seed in [*cells, ("greed-draws", 0)]:
        command = [sys.executable, "-m", "benchmarks.worlds_run", world, str(seed)]
        benchmark.cell(f"{world}/seed-{seed}", [*command, "{out}/x.json"], seed, "x.json")
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
