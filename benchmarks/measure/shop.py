"""One recommender on the made-up shop's held-out purchases.

``goal`` learns from all kinds and is asked for purchases; ``views`` and ``purchases`` learn from
events of one kind alone, and know no others in histories. All choose their epoch, settings and
weights on the same validation purchases.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from lightrec_ecommerce.made_up import write
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.data.store import LOG, META, TEST, VALIDATION, EventStore
from lightrec.evaluation.held_out import HeldOutLog, item_models
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend import Blend
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.scorers import Scorer, by_history
from lightrec.run import Run

GOAL = "purchase"
WORTH = {"view": 0.1, "cart": 0.3, GOAL: 1.0}
SHOP = 3
"""The seed of the shop itself: seeds of cells are those of training."""
KINDS = {"goal": None, "views": "view", "purchases": GOAL}


def trained(cell: Cell) -> Run:
    """Run data and ranker, of one kind's events alone where the recommender is so named."""
    files, kind = cell.out / "files", KINDS[cell["recommender"]]
    write(files, SHOP)
    tables = {"log": "shop.csv", "items": "products.csv", "users": "customers.csv"}
    words = ["generic", "--goal", GOAL, "--weights", json.dumps(WORTH)]
    words += [part for role, name in tables.items() for part in (f"--{role}", str(files / name))]
    words += ["--values.text_encoder", "null", "--until"]
    whole = cell.run(*words, "data").folder("data")
    whole.rename(cell.out / "whole")
    data = cell.run(*words, "data").folder("data")
    if kind is not None:
        restrict(data, kind)
    return cell.run(*words, "ranker")


def restrict(folder: Path, kind: str) -> None:
    """Take all events of other kinds out of a store, but for the held-out ones."""
    store = EventStore(folder)
    own = np.asarray(store.feedback) == store.feedback_kinds.index(kind) + 1
    kept = own | np.isin(store.parts, (VALIDATION, TEST))
    (folder / "feedback.npy").unlink()
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    arrays = {name: array[kept] for name, array in arrays.items() if len(array) == len(kept)}
    arrays["offsets"] = np.concatenate([[0], np.cumsum(kept)])[store.offsets]
    log, meta = store.log.filter(kept), store.meta
    meta["feedback"], meta["settings"]["goal"] = [], []
    meta["settings"]["repeats"] = kind != GOAL  # what was only viewed may still be bought
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    log.write_ipc(folder / LOG)
    (folder / META).write_text(json.dumps(meta))


def only(kind: int | None, scorer: Scorer) -> Scorer:
    """Let a scorer see nothing of histories but the events of a kind."""

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        if kind is None:
            return scorer(batch)
        kept = batch[Key.FEEDBACK] == kind
        order = kept.to(torch.int8).argsort(dim=1, stable=True)
        history = batch[Key.HISTORY].where(kept, PADDING).gather(1, order)
        gap = torch.zeros_like(history)
        return scorer({**batch, Key.HISTORY: history, Key.FEEDBACK: gap, Key.GAP: gap})

    return scores


def ranked(recommender: str, run: Run, whole: EventStore) -> dict[str, list[float]]:
    """Rank the held-out purchases: by scorer, NDCG@10 of each user in order.

    Of a scorer also those of purchases of what was met before, ``/met``, and of discoveries.
    """
    name = KINDS[recommender]
    kind = None if name is None else whole.feedback_kinds.index(name) + 1
    scorers: dict[str, Scorer] = {
        "blend": by_history(run.blend),
        "ranker": by_history(Blend(run.blend.ranker)),
        **{name: by_history(model) for name, model in item_models(run)},
        "Popularity": by_history(Popularity().fit(Evidence.of(run.data, torch.zeros(0, 0)))),
    }
    events, values = HeldOutLog(None).events(whole, 0), dict[str, list[float]]()
    for name, scorer in scorers.items():
        result = evaluate_scores(only(kind, scorer), events)
        order = result.users.argsort()
        own, known = result.per_event([10])["ndcg@10"][order], events.met[order]
        parts = {"": own, "/met": own[known], "/discovered": own[~known]}
        values |= {f"{name}{part}": each.tolist() for part, each in parts.items()}
    return values


def measure(cell: Cell) -> dict[str, object]:
    """Train and rank."""
    run = trained(cell)
    values = ranked(cell["recommender"], run, EventStore(cell.out / "whole"))
    metrics: dict[str, object] = {
        f"test/{name}/ndcg@10": float(np.mean(own)) for name, own in values.items()
    }
    for part in ("met", "discovered"):
        metrics[f"test/{part}/events"] = len(values[f"blend/{part}"])
    return metrics | {"users/blend": [round(value, 4) for value in values["blend"]]}
