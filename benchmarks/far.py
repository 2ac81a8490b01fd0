"""The world `far`, 10,000 sessions, three seeds: `make bench NAME=far`."""

from benchmarks.cells import LIGHTREC, Benchmark

SHOWN = [
    "truth/learned/spearman",
    "truth/logit/spearman",
    "truth/popularity/spearman",
    "truth/value/spearman",
]


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("far")
    for seed in range(3):
        command = [LIGHTREC, "run", "video", "--offline", "--seed", str(seed)]
        command += ["--out", "{out}/far"]
        benchmark.cell(f"far/seed-{seed}", command, seed, "far/metrics.json")
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
