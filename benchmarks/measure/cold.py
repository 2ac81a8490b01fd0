"""Items never seen, each among these alone, by the shipped recipe without its transformer."""

from benchmarks.measure import Cell
from lightrec.evaluation.held_out import item_models
from lightrec.evaluation.slices import cold_metrics

EVENTS = 4_000
WAYS = {"map": "together", "text": "history"}


def measure(cell: Cell) -> dict[str, float]:
    """Recall@10 of what a run does, and of the history's texts."""
    seed = ["--data.split", "item-cold", "--data.seed", str(cell.seed)]
    run = cell.run(*cell.options, *seed, "--ranker.trainer.max_epochs", "0", "--until", "ranker")
    found = cold_metrics(run.data, run.blend, item_models(run), 256, EVENTS, cell.seed)
    keys = {way: f"cold/{name}/recall@10" for name, way in WAYS.items()}
    return {way: found[key] for way, key in keys.items() if key in found}
