"""What a generator adds to the blend, as one more item model with a weight of its own."""

import json
from pathlib import Path

import yaml
from lightrec_generate.in_blend import GeneratorShares

from benchmarks.measure import Cell
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import by_history

RECIPE = Path(__file__).parents[2] / "recipes" / "generic" / "ranker.yaml"
NAME = GeneratorShares.__name__


def measure(cell: Cell) -> dict[str, float]:
    """Train a generator, and the ranker with its blend twice; compare test events by user."""
    cell.run("generator-alone", *cell.options, *cell["generator"], name="generator")
    parts = yaml.safe_load(RECIPE.read_text())["model"]["init_args"]["item_models"]
    parts.append({"class_path": NAME, "init_args": {"generator": str(cell.out / "generator")}})
    more = ["--ranker.model.init_args.item_models", json.dumps(parts)]
    until = ["--until", "ranker"]
    runs = {
        "without": cell.run("generic", *cell.options, *until, name="without"),
        "with": cell.run("generic", *cell.options, *until, *more, name="with"),
    }
    events = HeldOutLog(None).events(runs["with"].data, 0)
    results = {name: evaluate_scores(by_history(run.blend), events) for name, run in runs.items()}
    ahead = results["with"].bootstrap(results["without"], seed=cell.seed)
    metrics = {f"{name}/ndcg@10": result.metrics()["ndcg@10"] for name, result in results.items()}
    metrics["weight"] = runs["with"].blend.weights[NAME]
    return metrics | keys_of("ahead/ndcg@10", ahead)
