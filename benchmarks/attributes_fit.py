"""One cell of the benchmark `attributes`: what attributes gain on a log, with a seed.

``python -m benchmarks.attributes_fit OUT LOG PART --seed SEED`` leaves ``metrics.json`` in OUT.
"""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from lightrec.data.attributes import user_features
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, EventStore
from lightrec.encoders.text import TextEncoder
from lightrec.errors import NotApplicable
from lightrec.keys import Key
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.ranking.item_models.demographic import NEWCOMERS, Demographic
from lightrec.run import Run
from lightrec.testing import shop
from lightrec.users.assessment import assess, calibrate, fit_popularity
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.module import ChoiceModule
from lightrec.users.user_model import UserModel

FOLDS = 10
COLUMNS = "{user: customer, item: sku, feedback: event, time: time}"
BOUGHT = "{view: 0, cart: 0, purchase: 1}"


def prepared(log: str, out: Path, seed: int, data: Path | None) -> EventStore:
    """Prepare a log as a run does: MovieLens-100K, or the purchases of the made-up shop."""
    if log == "ml-100k":
        given = ["video", "--log", str(data / log)]
    else:
        shop.write(out / "shop", seed)
        given = ["generic", "--log", str(out / "shop" / "shop.csv"), "--data.columns", COLUMNS]
        given += ["--items", str(out / "shop" / "products.csv"), "--data.k_core", "2"]
        given += ["--users", str(out / "shop" / "customers.csv"), "--data.weights", BOUGHT]
    from lightrec.__main__ import main as lightrec

    if lightrec(["run", *given, "--out", str(out / "run"), "--until", "data"]):
        raise RuntimeError("The log could not be prepared.")
    return Run(out / "run").data


def newcomers(store: EventStore, seed: int) -> dict[str, float]:
    """Rank the first events of users who took no part, by attributes and by popularity."""
    log = Sequences.chosen(store)
    fold = np.random.default_rng(seed).permutation(store.num_users) % FOLDS
    owner = log.users_of(np.arange(len(log.items)))
    place = np.arange(len(log.items)) - log.offsets[owner]
    people = user_features(store)[1]
    gains: dict[str, Tensor] = {}
    for number in range(FOLDS):
        others = fold != number
        known = Sequences(
            log.items[others[owner]],
            log.parts[others[owner]],
            np.append(0, np.diff(log.offsets)[others].cumsum()),
            log.times[others[owner]],
        )
        evidence = Evidence(
            known, store.num_items, torch.zeros(store.num_items + 1, 0), people=people[others]
        )
        models = {"popularity": Popularity().fit(evidence)}
        early = known._keep(place[others[owner]] < NEWCOMERS)
        models["first_popularity"] = Popularity().fit(replace(evidence, log=early))
        try:
            models["demographic"] = Demographic().fit(evidence)
        except NotApplicable:
            models["demographic"] = models["popularity"]
        events = np.flatnonzero((fold[owner] == number) & (place < NEWCOMERS))
        users, items = owner[events], torch.from_numpy(np.asarray(log.items[events], np.int64))
        nobody = torch.zeros(len(events), 1, dtype=torch.int64)
        for name, model in models.items():
            scores = model.scores(nobody, details={Key.PROFILE: people[users]})
            own = scores.gather(1, items[:, None])
            ties = (scores == own).sum(1) - 1
            rank = (scores > own).sum(1) + ties / 2 + 1
            gain = torch.where(rank <= 10, 1 / (rank + 1).log2(), 0)
            table = gains.setdefault(name, torch.full((store.num_users, NEWCOMERS), torch.nan))
            table[users, place[events]] = gain
    found, base = {}, gains["popularity"]
    for name, gain in gains.items():
        for words, part in {"first": slice(0, 1), "first_ten": slice(None)}.items():
            key = f"{name}/{words}/ndcg@10"
            more = (gain - base)[:, part].nanmean(1)
            error = 1.96 * float(more.std()) / len(more) ** 0.5
            found |= {
                key: float(gain[:, part].nanmean(1).mean()),
                f"{key}/gain": float(more.mean()),
            }
            found[f"{key}/gain_error"] = error
    return found


def trained(module: pl.LightningModule, data: pl.LightningDataModule, epochs: int) -> None:
    """Train on the CPU, without files."""
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    pl.Trainer(max_epochs=epochs, accelerator="cpu", gradient_clip_val=1.0, **quiet).fit(
        module, data
    )
    module.eval()


def choices(folder: Path, seed: int) -> dict[str, float]:
    """Fit choice models with texts, with attributes, and with both; held-out log-likelihoods."""
    found = {}
    for name, text, on in (
        ("texts", True, False),
        ("attributes", False, True),
        ("both", True, True),
    ):
        torch.manual_seed(seed)
        encoder = TextEncoder() if text else None
        data = ChoiceData(str(folder), text_encoder=encoder, use_attributes=on, seed=seed)
        data.max_train = 60_000
        model = partial(PooledChoice, hidden_size=64)
        module = ChoiceModule(
            data.num_items,
            data.vector_size,
            model,
            people=data.people,
            identity_precision=50.0,
            discount=0.0,
        )
        trained(module, data, 4)
        calibrate(module.choice, data)
        judged = assess(UserModel([module.choice]), fit_popularity(data), data, TEST, "all")
        found[f"{name}/log_likelihood"] = judged["log_likelihood"]
        found["popularity/log_likelihood"] = judged["popularity"]
    return found


def main() -> None:
    """Measure one cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("log", choices=("ml-100k", "shop"))
    parser.add_argument("part", choices=("newcomers", "choices"))
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    store = prepared(given.log, given.out, given.seed, given.data)
    if given.part == "newcomers":
        found = newcomers(store, given.seed)
    else:
        found = choices(store.folder, given.seed)
    (given.out / "metrics.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
