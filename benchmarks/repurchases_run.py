"""Online Retail's purchases with ``repeats``: the cell of `make bench NAME=repurchases`.

``python -m benchmarks.repurchases_run SEED DATA OUT`` trains data and ranker without texts, the
ranker for two epochs, and ranks the held-out purchases.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.daily_logs import retail
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import by_history, item_models
from lightrec.evaluation.slices import held_out_metrics, were_met
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import choose_weights
from lightrec.ranking.blending import candidates, fitting_events
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.metrics import RankingResult, evaluate_scores
from lightrec.ranking.scorers import Scorer
from lightrec.ranking.sequence_data import SequenceData
from lightrec.run import Run
from lightrec.stages.run import run

REPEATS = "RepeatConsumption"


def trained(seed: int, data: Path, out: Path) -> Run:
    """Run data and ranker."""
    log, items = retail(data)
    out.mkdir(parents=True, exist_ok=True)
    log.write_csv(out / "log.csv")
    items.write_csv(out / "items.csv")
    overrides = {"values": ["--text_encoder=null"], "ranker": ["--trainer.max_epochs=2"]}
    made = run(
        "generic",
        out=out / "run",
        log=out / "log.csv",
        items=out / "items.csv",
        repeats=True,
        seed=seed,
        until="ranker",
        overrides=overrides,
    )
    return Run(made)


def without_repeats(found: Run) -> Blend:
    """Blend the same ranker and item models without RepeatConsumption, with weights of its own."""
    own = {name: found.blend.item_model(name) for name in found.blend.item_models}
    fitted = {n: model for n, model in {**item_models(found), **own}.items() if n != REPEATS}
    mixed = Blend(found.blend.ranker, fitted)
    data = SequenceData(str(found.folder("data")))
    given = candidates(mixed, data, fitting_events(data))
    mixed.weights, *_ = choose_weights(given, [RANKER, *fitted])
    return mixed


def frequency(num_items: int) -> Scorer:
    """Score items by how often they are in the history."""

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        history = batch[Key.HISTORY]
        counts = torch.zeros(len(history), num_items + 1)
        counts.scatter_add_(1, history, torch.ones_like(history, dtype=counts.dtype))
        return counts.index_fill(1, torch.tensor([PADDING]), 0.0)

    return scores


def main(seed: int, data: Path, out: Path) -> None:
    """Train and rank, and write the metrics."""
    found = trained(seed, data, out)
    store = found.data
    evidence = Evidence.of(store, torch.zeros(0, 0))
    scorers: dict[str, Scorer] = {
        "blend": by_history(found.blend),
        "without": by_history(without_repeats(found)),
        REPEATS: by_history(item_models(found)[REPEATS]),
        "frequency": frequency(store.num_items),
        "Popularity": by_history(Popularity().fit(evidence)),
    }
    sequences, metrics = Sequences.all_events(store), dict[str, float]()
    for part, number in (("validation", VALIDATION), ("test", TEST)):
        events = EvaluationEvents(sequences, number, None, 256, None, seed)
        met, results = were_met(events), dict[str, RankingResult]()
        for name, scorer in scorers.items():
            results[name] = evaluate_scores(scorer, events)
            metrics |= held_out_metrics(store, results[name], f"{part}/{name}/", met)
            if name != "blend":
                ahead = results["blend"].bootstrap(results[name], seed=seed)
                metrics |= keys_of(f"{part}/blend-minus-{name}/ndcg@10", ahead)
    metrics |= {f"weights/{name}": weight for name, weight in found.blend.weights.items()}
    (out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
