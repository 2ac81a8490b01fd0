"""A cell of `make bench NAME=readers`: train a reader, and re-rank a first stage's test lists.

``python -m benchmarks.readers_run KIND OUT LOG [ITEMS]`` takes directional co-occurrence alone for
a first stage. All weights are chosen on validation events.
"""

import json
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightrec_generate.language_readers import Decoder, PairClassifier
from lightrec_generate.reader_module import ReaderData, ReaderModule
from lightrec_generate.reranking import DEPTH, Lists, choose_weight
from torch import Tensor

from benchmarks.tuning_speed import BFLOAT16
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION
from lightrec.encoders.base import item_vectors, unit_vectors
from lightrec.encoders.text import TextEncoder
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.held_out import by_history
from lightrec.ranking.blend import Blend
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, choose
from lightrec.ranking.item_models.item_to_item import DirectionalCooccurrence
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.ranker import Ranker
from lightrec.run import Run
from lightrec.stages.run import run

DECAY = 0.8
"""What an item of a history counts next to the one after it, where vectors are compared."""
KINDS = {"classifier": (PairClassifier, 1_500, 1_000, 2e-4), "decoder": (Decoder, 200, 300, 1e-3)}
"""Class, events to learn from, judged events of validation and of test each, and learning rate."""


def first_stage(found: Run, folder: Path) -> None:
    """Fit directional co-occurrence, and leave it as a stage `ranker` does, with text vectors."""
    store = found.data.without_cold
    vectors = item_vectors(TextEncoder(), store.catalog)
    events = EvaluationEvents(Sequences.all_events(store), VALIDATION, None, 128, 2_000, 0)

    def ndcg(model: DirectionalCooccurrence) -> float:
        return evaluate_scores(by_history(model), events).metrics([10])["ndcg@10"]

    model, _ = choose(DirectionalCooccurrence(), Evidence.of(store, vectors), ndcg)
    ranker = Ranker(store.num_items, vectors.shape[1], size=8)
    ranker.items.set_vectors(vectors)
    ranker.save_pretrained(folder)
    Blend(ranker, {"model": model}, {"model": 1.0}).save(folder)


def cosines(lists: Lists, vectors: Tensor) -> Tensor:
    """Compare histories with the lists' items by frozen text vectors (N + 1, V): (E, C)."""
    units = unit_vectors(vectors)
    ages = torch.arange(lists.histories.shape[1] - 1, -1, -1)
    asked = torch.einsum("elv,l->ev", units[lists.histories], DECAY**ages)
    return torch.einsum("ev,ecv->ec", asked, units[lists.items])


def auc(lists: Lists, scores: Tensor) -> float:
    """Share of the nineteen others below what came: a mean over lists that hold it."""
    return float(1 - (lists.ranked(scores).ranks[lists.listed] - 1).mean() / (DEPTH - 1))


def main(kind: str, out: Path, log: Path, items: Path | None = None) -> None:
    """Train, and write the metrics."""
    domain = "generic" if items else "video"
    made = run(domain, out=out / "run", log=log, items=items, seed=0, until="data")
    first_stage(Run(made), out / "ranker")
    part, trained, judged, rate = KINDS[kind]
    folders = str(made / "data"), str(out / "ranker")
    data = ReaderData(*folders, max_trained=trained, max_judged=judged)
    torch.manual_seed(0)
    module = ReaderModule(data.num_items, data.vector_size, part(), learning_rate=rate)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed" if BFLOAT16 else "32-true",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=out,
    )
    begin = time.process_time()
    trainer.fit(module, data)
    metrics: dict[str, float] = {"train/cpu_seconds": time.process_time() - begin}
    metrics["validation/mrr@20"] = float(trainer.callback_metrics["validation/mrr@20"])
    lists, validation, begin = data.lists(TEST), data.lists(VALIDATION), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
        added = {"reader": module.read(lists)}
    pairs = int(lists.listed.sum()) * DEPTH
    metrics["reader/milliseconds"] = 1e3 * (time.process_time() - begin) / pairs
    weights = {"reader": float(module.reader.weight), "first": 0.0}
    weights["cosine"] = choose_weight(validation, cosines(validation, data.vectors))
    added |= {"cosine": cosines(lists, data.vectors), "first": torch.zeros_like(lists.scores)}
    metrics |= {"test/events": len(lists.users), "test/listed": pairs // DEPTH}
    results = {n: lists.ranked(lists.scores + weights[n] * added[n]) for n in weights}
    for name, result in results.items():
        alone = lists.scores if name == "first" else added[name]
        metrics |= {f"{name}/weight": weights[name], f"test/{name}/auc": auc(lists, alone)}
        metrics[f"test/{name}/ndcg@10"] = result.metrics([10])["ndcg@10"]
        for other in results.keys() - {name}:
            key = f"test/{name}-minus-{other}/ndcg@10"
            metrics |= keys_of(key, result.bootstrap(results[other]))
    (out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
