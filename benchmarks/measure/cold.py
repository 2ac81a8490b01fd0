"""Items never seen, each among these alone, by the shipped recipe without its transformer."""

from benchmarks.measure import Cell
from lightrec.evaluation.held_out import item_models
from lightrec.evaluation.slices import cold_metrics

EVENTS = 4_000
WAYS = {"map": "together", "TextNeighbours": "vectors", "text": "history"}


def measure(cell: Cell) -> dict[str, float | str]:
    """Recall@10 of what a run does, of neighbours by vectors, and of the history's texts."""
    seed = ["--data.split", "item-cold", "--data.seed", str(cell.seed)]
    run = cell.run(*cell.options, *seed, "--ranker.trainer.max_epochs", "0", "--until", "ranker")
    found = cold_metrics(run.data, run.blend, item_models(run), 256, EVENTS, cell.seed)
    metrics: dict[str, float | str] = {"events": found["cold/events"]}
    for name, way in WAYS.items():
        if f"cold/{name}/recall@10" in found:
            metrics[way] = found[f"cold/{name}/recall@10"]
    return metrics | {"weights": ", ".join(f"{x:g}" for x in run.blend.text_weights)}
