"""Ways to score items without events, on items held out: `make bench NAME=cold_items`.

MovieLens-100K is the sample of the domain ``video``. Beauty, the five-core file of P5, is read from
``amazon-beauty-p5`` in the folder that LIGHTREC_TEST_DATA names. The constants of the map were
chosen with seeds 0 to 2; the items of the seeds measured here were looked at once. To spare CPU
time the blend is one of item models alone: the transformer is not trained.
"""

import json
import sys
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.cells import Benchmark, data_folder, markdown
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD
from lightrec.encoders.base import item_vectors
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.base import keys_of
from lightrec.keys import Column, Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.text_map import TextMap
from lightrec.ranking.metrics import RankingResult, evaluate_scores
from lightrec.run import Run

SEEDS = (3, 4, 5)
EVENTS = 4_000
"""At most so many events of held-out items are ranked."""
MODELS = ("Popularity", "ItemKNN", "DirectionalCooccurrence", "TextNeighbours")
VECTORS = (1.0, 0.0, 0.0)
HISTORY = (0.0, 0.0, 0.0, 1.0)
WAYS = {"vectors": VECTORS, "words": (0.0, 1.0, 0.0), "both": (1.0, 1.0, 0.0), "history": HISTORY}
COLUMNS = {
    "ridge": "ridge alone",
    "frozen": "neighbours by frozen vectors",
    "vectors": "by the stage's",
    "words": "by words",
    "both": "by both",
    "history": "texts of the history",
    "together": "together",
}
HEAD = [
    "log, seed",
    *COLUMNS.values(),
    "together − ridge",
    "weights (vectors, words, ridge, history)",
]
METRICS = ("recall@10", "ndcg@10")
TUNED = ["--text.model.init_args.tune", "layers", "--text.trainer.max_epochs", "6"]


@torch.no_grad()
def judged(run: Run) -> dict[str, object]:
    """Rank events of items held out among these items, in each of the ways.

    The ridge has the penalty that is best on these very events, which favours it.
    """
    store, blend = run.data, run.blend
    assert run.text_map is not None
    targets = Sequences.targets(store, COLD)
    events = EvaluationEvents(Sequences.all_events(store), targets, None, 256, EVENTS, 0)
    usual = [
        (blend.scores(batch[Key.HISTORY], details=batch), batch[Key.HISTORY]) for batch in events
    ]
    vectors, texts = blend.ranker.items.vectors, store.catalog[Column.TEXT].to_list()
    frozen = item_vectors(TextEncoder(), store.catalog)
    given = vectors, texts, torch.from_numpy(store.popularity())

    def result(mapped: TextMap) -> RankingResult:
        scores = iter(usual)
        return evaluate_scores(lambda _: mapped.scores(*next(scores)), events)

    found = {name: result(TextMap(*given, 1.0, weights)) for name, weights in WAYS.items()}
    found["frozen"] = result(TextMap(frozen, *given[1:], 1.0, VECTORS))
    found["together"] = result(run.text_map)
    ridge, ridges = TextMap(*given, 1.0), []
    for l2 in (0.1, 0.3, 1.0):
        ridge.regress(l2)
        ridges.append(result(ridge))
    found["ridge"] = max(ridges, key=lambda own: own.metrics()["recall@10"])
    metrics: dict[str, object] = {"events": len(events.events), "l2": blend.l2}
    metrics["weights"] = list(blend.text_weights)
    for name, own in found.items():
        metrics |= {f"{name}/{metric}": own.metrics()[metric] for metric in METRICS}
    for metric in METRICS:
        ahead = found["together"].bootstrap(found["ridge"], metric)
        metrics |= keys_of(f"together-minus-ridge/{metric}", ahead)
    return metrics


def measure(out: Path, arguments: list[str]) -> None:
    """Train data and ranker, and write the metrics."""
    if status := lightrec(["run", *arguments, "--out", str(out / "run"), "--until", "ranker"]):
        raise SystemExit(status)
    (out / "metrics.json").write_text(json.dumps(judged(Run(out / "run"))))


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("cold_items")
    models = json.dumps([{"class_path": name} for name in MODELS])
    recipe = ["--ranker.trainer.max_epochs", "0", "--ranker.model.init_args.item_models", models]
    logs = {"ml-100k": ["video"]}
    if data := data_folder():
        files = ["--log", "{data}/log.csv", "--items", "{data}/items.csv"]
        logs["beauty"] = ["generic", *files]
        logs["beauty, layers tuned"] = ["generic", *files, *TUNED]
    for name, given in logs.items():
        for seed in SEEDS:
            command = [sys.executable, "-m", "benchmarks.cold_items", "{out}", *given, *recipe]
            command += ["--data.split", "item-cold", "--data.seed", str(seed)]
            folder, key = (data or Path()) / "amazon-beauty-p5", f"{name}/seed-{seed}"
            if benchmark.wants(key):
                benchmark.cell(key, command, seed, "metrics.json", data=folder)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set Recall@10 among the items held out as a Markdown table."""
    rows = []
    for name in sorted({key.partition("/")[0] for key in cells}):
        own = {key: cell["metrics"] for key, cell in cells.items() if key.startswith(f"{name}/")}
        for key, metrics in own.items():
            label = "together-minus-ridge/recall@10"
            ahead = [metrics[f"{label}{end}"] for end in ("", "/low", "/high")]
            shown = "{:+.3f} ({:+.3f} to {:+.3f})".format(*ahead)
            weights = ", ".join(f"{weight:g}" for weight in metrics["weights"])
            rows.append([key.replace("/seed-", ", "), *_recalls([metrics]), shown, weights])
        rows.append([f"{name}, mean", *_recalls([*own.values()]), "", ""])
    return markdown(HEAD, rows)


def _recalls(found: list[dict]) -> list[str]:
    keys = [f"{name}/recall@10" for name in COLUMNS]
    whole = [key for key in keys if all(key in own for own in found)]
    means = {key: f"{fmean(own[key] for own in found):.3f}" for key in whole}
    return [means.get(key, "–") for key in keys]


if __name__ == "__main__":
    if len(sys.argv) > 2 and not sys.argv[1].startswith("--"):
        measure(Path(sys.argv[1]), sys.argv[2:])
    else:
        main()
