"""NDCG@10 over MovieLens-100K's sizes, beside torchmetrics: `make bench NAME=ranking_metrics`.

943 queries over 1,349 items with random scores, whose values do not matter to the time. Both read
the same tensors in the same process on one thread; each is run several times and its fastest run
counts. ``--measure FOLDER`` does the measuring and writes ``metrics.json``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.retrieval import RetrievalNormalizedDCG

from benchmarks.cells import Benchmark
from lightrec.evaluation.queries import QueryMetrics
from lightrec.evaluation.ranking import RankingMetrics

QUERIES, ITEMS, RELEVANT, SEEN = 943, 1349, 20, 100
RUNS = 7
SHOWN = [f"{n}/seconds" for n in ("one", "seen", "several", "torchmetrics")]
SHOWN += [f"{n}/times_as_fast" for n in ("one", "several")]


def fastest(function: Callable[[], Tensor]) -> tuple[float, float]:
    """Give a function's result, and the seconds of its fastest run after a first one."""
    value = float(function())
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return value, min(seconds)


def ours(metric: RankingMetrics | QueryMetrics, *batch: Tensor) -> Callable[[], Tensor]:
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
    relevant, seen = order[:, :RELEVANT], order[:, -SEEN:]
    one, first = fastest(ours(RankingMetrics(), scores, relevant[:, 0]))
    other, slow = fastest(theirs(scores, relevant[:, :1]))
    _, with_seen = fastest(ours(RankingMetrics(), scores, relevant[:, 0], seen))
    several, second = fastest(ours(QueryMetrics(), scores, relevant))
    again, slower = fastest(theirs(scores, relevant))
    for mine, its in ((one, other), (several, again)):
        if abs(mine - its) > 1e-6:
            raise RuntimeError(f"lightrec's NDCG@10 is {mine}, and torchmetrics' is {its}.")
    metrics = {
        "one/seconds": first,
        "seen/seconds": with_seen,
        "several/seconds": second,
        "torchmetrics/seconds": slow,
        "torchmetrics/several/seconds": slower,
        "one/times_as_fast": slow / first,
        "several/times_as_fast": slower / second,
    }
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
    print(benchmark.table(SHOWN))


if __name__ == "__main__":
    main()
