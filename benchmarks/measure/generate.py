"""Generators on a log, what one adds to the blend, and a decoder as the ranker's tower."""

import json
import time
from pathlib import Path

import torch
import yaml
from lightrec_generate.generator import Generator
from lightrec_generate.in_blend import GeneratorShares

from benchmarks.measure import Cell
from benchmarks.measure.published import METRICS, ranked
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.keys import Key
from lightrec.ranking.blend import RANKER
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import by_history

RECIPE = Path(__file__).parents[2] / "recipes" / "generic" / "ranker.yaml"
NAME = GeneratorShares.__name__
TOWER = ("--ranker.model.init_args.tower", "DecoderTower")


@torch.no_grad()
def alone(cell: Cell) -> dict[str, float]:
    """Train a generator, and rank the test events with seen items removed, and kept."""
    began = time.process_time()
    run = cell.run("generator-alone", *cell.options)
    metrics = {"training/cpu_seconds": time.process_time() - began, **run.metrics("generator")}
    generator = Generator.load(run.folder("generator"))
    events = HeldOutLog(None).events(run.data, cell.seed)
    began = time.process_time()
    for batch in events:
        generator.scores(batch[Key.HISTORY])
    metrics["ms a user"] = 1e3 * (time.process_time() - began) / len(events.events)
    nothing_seen = ({**batch, Key.SEEN: batch[Key.SEEN][:, :0]} for batch in events)
    for name, batches in (("removed", events), ("kept", nothing_seen)):
        found = evaluate_scores(by_history(generator), batches).metrics()
        metrics |= {f"{name}/{metric}": found[metric] for metric in METRICS}
    return metrics


def blend(cell: Cell) -> dict[str, float]:
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


def decoder(cell: Cell) -> dict[str, float]:
    """Train a pretrained decoder, random weights and the transformer; compare events by user."""
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
