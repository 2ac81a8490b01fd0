"""A pretrained decoder as the ranker's tower, beside the shipped transformer and random weights."""

import time

from benchmarks.measure import Cell
from benchmarks.measure.published import ranked
from lightrec.evaluation.base import keys_of
from lightrec.ranking.blend import RANKER

TOWER = ("--ranker.model.init_args.tower", "DecoderTower")


def measure(cell: Cell) -> dict[str, float]:
    """NDCG@10 of each on the test events; differences are paired by user."""
    pretrained = [*TOWER, *cell["tower"]]
    towers = {"transformer": [], "pretrained": pretrained, "random": pretrained + cell["random"]}
    results, metrics = {}, dict[str, float]()
    for name, words in towers.items():
        began = time.process_time()
        run = cell.run(*cell.options, *words, "--until", "ranker", name=name)
        metrics[f"{name}/cpu_seconds"] = time.process_time() - began
        results[name] = ranked(run)[RANKER]
        metrics[f"{name}/ndcg@10"] = results[name].metrics()["ndcg@10"]
    for name in ("transformer", "random"):
        ahead = results["pretrained"].bootstrap(results[name], seed=cell.seed)
        metrics |= keys_of(f"pretrained-minus-{name}/ndcg@10", ahead)
    return metrics
