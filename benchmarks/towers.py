"""Rankers that read words, beside one of ids and frozen vectors: `make bench NAME=towers`.

The logs are read from the folder that LIGHTREC_TEST_DATA names; a tenth of their items is held out.
``--only NAME`` runs the cells whose names begin so. One seed. That items without
events are no negatives of a ranker that reads was decided after a look at these held-out items.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.cells import Benchmark, markdown
from benchmarks.daily_logs import movielens
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Sequences
from lightrec.data.store import COLD, TEST
from lightrec.keys import Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import evaluate_scores
from lightrec.run import Run

MODEL, DATA = "--ranker.model.init_args.", "--ranker.data.init_args."
SHARED = ["--text.model.init_args.tune", "none", f"{MODEL}item_models", "null"]
SHARED += ["--data.split", "item-cold", f"{DATA}max_validated", "2000"]
FILMS = ["--ranker.trainer.max_epochs", "4", f"{DATA}reads", '["title", "genres"]']
GOODS = ["--ranker.trainer.max_epochs", "2", f"{DATA}reads", '["title"]', f"{DATA}read_length"]
GOODS += ["16", f"{DATA}batch_size", "128", f"{MODEL}loss", "SampledSoftmaxLoss"]
GOODS += [f"{MODEL}loss.negatives", "1024"]
NAML = [f"{MODEL}tower", "AdditiveAttention", f"{MODEL}reader", "ConvolutionReader"]
NRMS = [f"{MODEL}tower", "AdditiveAttention", f"{MODEL}tower.heads", "4"]
BESIDE = [f"{MODEL}use_text", "false"]
ALONE = [*BESIDE, f"{MODEL}use_ids", "false"]
RANKERS = {
    "transformer: ids, MiniLM": [f"{DATA}reads", "null"],
    "NRMS: words": [*NRMS, *ALONE],
    "NAML: words": [*NAML, *ALONE],
    "NRMS: ids, words": [*NRMS, *BESIDE],
    "NAML: ids, words": [*NAML, *BESIDE],
    "transformer: words": ALONE,
    "transformer: ids, words": BESIDE,
}


@torch.no_grad()
def measure(out: Path, arguments: list[str]) -> None:
    """Train; rank test events among all items, and events of items held out among these."""
    if lightrec(["run", "generic", *arguments, "--out", str(out / "run"), "--until", "ranker"]):
        raise SystemExit(1)
    run = Run(out / "run")
    ranker, counts = run.ranker, torch.from_numpy(run.data.popularity())
    table, all_events = ranker.item_vectors(), Sequences.all_events(run.data)
    scorers = {
        "test": lambda b: ranker.scores(b[Key.HISTORY], items=table),
        "popularity": lambda b: counts.double().expand(len(b[Key.USER]), -1),
        # The bias of an item that nobody chose says nothing of it.
        "cold": lambda b: (ranker.user_vectors(b[Key.HISTORY]) @ table.T).where(
            counts == 0, -torch.inf
        ),
    }
    metrics = {"cold/items": int((counts[1:] == 0).sum())}
    for name, scorer in scorers.items():
        part = Sequences.targets(run.data, COLD) if name == "cold" else TEST
        found = evaluate_scores(scorer, EvaluationEvents(all_events, part, None, 256, 8000, 0))
        metrics |= {f"{name}/{key}": found.metrics()[key] for key in ("ndcg@10", "recall@10")}
    (out / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cells and print the table."""
    benchmark, data = Benchmark("towers"), Path(os.environ["LIGHTREC_TEST_DATA"])
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    with tempfile.TemporaryDirectory() as to:
        films = Path(to) / "films.csv", Path(to) / "film_items.csv"
        for rows, path in zip(movielens(data), films, strict=True):
            rows.write_csv(path)
        beauty = data / "amazon-beauty-p5"
        goods = beauty / "log.csv", beauty / "items.csv"
        logs = {"ml-100k": (films, FILMS), "beauty": (goods, GOODS)}
        for name, ((log, items), recipe) in logs.items():
            for ranker, own in RANKERS.items():
                command = [sys.executable, "-m", "benchmarks.towers", "{out}", "--log", "{log}"]
                command += ["--items", "{items}", *SHARED, *recipe, *own]
                if (key := f"{name}/{ranker}").startswith(only):
                    benchmark.cell(key, command, 0, "metrics.json", log=log, items=items)
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set the cells as a Markdown table."""
    rows = []
    for log in dict.fromkeys(key.partition("/")[0] for key in cells):
        own = {r: cells[key] for r in RANKERS if (key := f"{log}/{r}") in cells}
        popular = next(iter(own.values()))["metrics"]["popularity/ndcg@10"]
        rows.append([log, "popularity", f"{popular:.3f}", "", ""])
        for ranker, cell in own.items():
            values = [cell["metrics"][key] for key in ("test/ndcg@10", "cold/recall@10")]
            seconds = f"{cell['cpu_seconds']:.0f}"
            rows.append([log, ranker, *(f"{value:.3f}" for value in values), seconds])
    head = ["log", "ranker", "NDCG@10, all items", "Recall@10, never-chosen items", "CPU seconds"]
    return markdown(head, rows)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] != "--only":
        measure(Path(sys.argv[1]), sys.argv[2:])
    else:
        main()
