"""What each means against overfitting does to the ranker: `make bench NAME=overfitting`."""

import json
from statistics import fmean

from benchmarks.cells import LIGHTREC, Benchmark, markdown

STOPPING = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {"monitor": "validation/ndcg@10", "mode": "max", "patience": 4},
}
SEEDS = range(3)


def callback(name: str, **settings: object) -> list[str]:
    """Add a callback to the recipe's own."""
    chosen = [STOPPING, {"class_path": name, "init_args": settings}]
    return ["--ranker.trainer.callbacks", json.dumps(chosen)]


NAMES = {
    "baseline": "the recipe as it is",
    "crop": "`Crop` (share 0.6, probability 0.5)",
    "mask": "`Mask` (0.2, 0.5)",
    "reorder": "`Reorder` (0.2, 0.5)",
    "no-dropout": "dropout 0 in place of 0.4",
    "no-weight-decay": "weight decay 0 in place of 0.01",
    "adversarial": "`AdversarialPerturbation` (epsilon 0.1, weight 1)",
    "average": "`EMAWeightAveraging` (decay 0.99)",
}
MEANS = {
    "baseline": [],
    "no-dropout": ["--ranker.model.init_args.tower.init_args.dropout", "0"],
    "no-weight-decay": ["--ranker.model.init_args.weight_decay", "0"],
    "average": callback("EMAWeightAveraging", decay=0.99),
}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("overfitting")
    for seed in SEEDS:
        for name, settings in MEANS.items():
            command = [LIGHTREC, "run", "video", "--seed", str(seed), "--out", "{out}/video"]
            command += ["--until", "ranker", *settings]
            benchmark.cell(f"{name}/seed-{seed}", command, seed, "video/ranker/metrics.json")
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set each means as a row: the blend seed by seed, and means over the seeds."""
    head = ["means", "blend, seeds 0, 1, 2", "mean", "transformer alone, mean"]
    rows = []
    for key, name in NAMES.items():
        found = [cells[f"{key}/seed-{seed}"] for seed in SEEDS]
        ndcg, alone, recall = (
            [cell["metrics"][f"validation/{metric}"] for cell in found]
            for metric in ("ndcg@10", "ranker/ndcg@10", "recall@10")
        )
        seconds = fmean(cell["cpu_seconds"] for cell in found)
        rows.append([name, ", ".join(f"{value:.4f}" for value in ndcg)])
        rows[-1] += [f"{fmean(ndcg):.4f}", f"{fmean(alone):.4f}", f"{fmean(recall):.3f}"]
        rows[-1].append(f"{seconds:.0f}")
    return markdown([*head, "Recall@10, mean", "CPU s"], rows)


if __name__ == "__main__":
    main()
