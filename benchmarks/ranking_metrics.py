"""NDCG@10 over MovieLens-100K's sizes, beside torchmetrics: `make bench NAME=ranking_metrics`.

943 queries over 1,349 items with random scores, whose values do not matter to the time. Both read
the same tensors in the same process on one thread, by turns; the fastest run of each counts.
``--measure FOLDER`` does the measuring and writes ``metrics.json``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.retrieval import RetrievalNormalizedDCG

from benchmarks.cells import Benchmark, markdown
from lightrec.ranking.running_metrics import RankingMetrics

QUERIES, ITEMS, SEEN = 943, 1349, 100
RUNS = 9
ROWS = {
    "one relevant item a query (`RankingMetrics`)": ("one", "torchmetrics"),
}


def fastest(functions: dict[str, Callable[[], Tensor]]) -> tuple[dict, dict]:
    """Give the functions' results, and the seconds of the fastest run of each."""
    values = {name: float(function()) for name, function in functions.items()}
    seconds = dict.fromkeys(functions, float("inf"))
    # By turns, so that other work on the machine slows all of them.
    for _ in range(RUNS):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    return values, seconds


def ours(metric: RankingMetrics, *batch: Tensor) -> Callable[[], Tensor]:
    """Make the function that feeds one of lightrec's metrics and reads it."""

    def run() -> Tensor:
        metric.reset()
        metric.update(*batch)
        return metric.compute()["ndcg@10"]

    return run


def theirs(scores: Tensor, relevant: Tensor) -> Callable[[], Tensor]:
    """Make the same of torchmetrics, which reads flat tensors; making them is not counted."""
    wanted = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, relevant, True)
    rows = torch.arange(len(scores))[:, None].expand_as(scores)
    flat = [x[:, 1:].flatten().clone() for x in (scores, wanted, rows)]
    metric = RetrievalNormalizedDCG(top_k=10)

    def run() -> Tensor:
        metric.reset()
        metric.update(flat[0], flat[1], indexes=flat[2])
        return metric.compute()

    return run


def measure(folder: Path) -> None:
    """Time both, see that they agree, and write ``metrics.json``."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(QUERIES, ITEMS + 1, generator=generator, dtype=torch.float64)
    order = torch.rand(QUERIES, ITEMS, generator=generator).argsort(dim=1) + 1
    relevant, seen = order[:, :1], order[:, -SEEN:]
    values, seconds = fastest(
        {
            "one": ours(RankingMetrics(), scores, relevant[:, 0]),
            "seen": ours(RankingMetrics(), scores, relevant[:, 0], seen),
            "torchmetrics": theirs(scores, relevant),
        }
    )
    metrics = {f"{name}/seconds": value for name, value in seconds.items()}
    metrics["one/times_as_fast"] = seconds["torchmetrics"] / seconds["one"]
    if abs(values["one"] - values["torchmetrics"]) > 1e-6:
        raise RuntimeError(f"NDCG@10 here and of torchmetrics differ: {values}.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cell and print the table."""
    if "--measure" in sys.argv:
        measure(Path(sys.argv[sys.argv.index("--measure") + 1]))
        return
    benchmark = Benchmark("ranking_metrics")
    command = [sys.executable, "-m", "benchmarks.ranking_metrics", "--measure", "{out}/measured"]
    benchmark.cell("943x1349", command, 0, "measured/metrics.json")
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set both sides' seconds and their ratio as Markdown."""
    found = cells["943x1349"]["metrics"]
    rows = [
        [
            name,
            f"{found[f'{own}/seconds']:.3f} s",
            f"{found[f'{other}/seconds']:.2f} s",
            f"{found[f'{own}/times_as_fast']:.0f}",
        ]
        for name, (own, other) in ROWS.items()
    ]
    return markdown(["", "lightrec", "torchmetrics", "times as fast"], rows)


if __name__ == "__main__":
    main()
