"""The whole demo on MovieLens-100K, three seeds: `make bench NAME=video`."""

from benchmarks.cells import LIGHTREC, Benchmark

SHOWN = [
    "test/ndcg@10",
    "test/recall@10",
    "test/policy/ndcg@10",
    "test/popularity/ndcg@10",
    "simulator/policy/return",
    "simulator/policy-minus-greedy/return",
    "simulator/policy-minus-greedy/return/low",
    "simulator/policy-minus-greedy-recent/return",
    "simulator/policy-minus-greedy-recent/reward_b",
    "share_kept/greedy/return",
    "share_kept/greedy-recent/return",
]


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("video")
    for seed in range(3):
        command = [LIGHTREC, "run", "video", "--seed", str(seed), "--out", "{out}/video"]
        benchmark.cell(f"ml-100k/seed-{seed}", command, seed, "video/metrics.json")
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
