"""What each means against overfitting does to the encoder: `make bench NAME=overfitting`."""

import json

from benchmarks.cells import LIGHTREC, Benchmark

STOPPING = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {"monitor": "validation/ndcg@10", "mode": "max", "patience": 4},
}
SHOWN = ["validation/ndcg@10", "validation/ranker/ndcg@10", "validation/recall@10"]


def transforms(*names: str) -> list[str]:
    chosen = [{"class_path": name} for name in names]
    return ["--encoder.data.init_args.transforms", json.dumps(chosen)]


def callback(name: str, **settings: object) -> list[str]:
    """Add a callback to the recipe's own."""
    chosen = [STOPPING, {"class_path": name, "init_args": settings}]
    return ["--encoder.trainer.callbacks", json.dumps(chosen)]


MEANS = {
    "baseline": [],
    "crop": transforms("Crop"),
    "mask": transforms("Mask"),
    "reorder": transforms("Reorder"),
    "no-dropout": ["--encoder.model.init_args.dropout", "0"],
    "no-weight-decay": ["--encoder.model.init_args.weight_decay", "0"],
    "adversarial": callback("AdversarialPerturbation"),
    "average": callback("EMAWeightAveraging", decay=0.99),
}


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("overfitting")
    for seed in range(3):
        for name, settings in MEANS.items():
            command = [LIGHTREC, "run", "video", "--seed", str(seed), "--out", "{out}/video"]
            command += ["--until", "encoder", *settings]
            benchmark.cell(f"{name}/seed-{seed}", command, seed, "video/encoder/metrics.json")
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
