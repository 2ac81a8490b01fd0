"""Next baskets of Online Retail, split by time.

The last tenth of the time is the test, and settings and weights are chosen on the tenth before, by
models that know what came earlier. For the test the chosen models are fitted again to all that is
before it. A list is made once for each customer, from what is before the tenth that is judged;
baskets of customers without any are left out.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from lightrec_ecommerce.domain import EcommerceDomain
from lightrec_ecommerce.readers import ShopSets
from torch import Tensor

from benchmarks.measure import Cell
from benchmarks.measure.language import weights_of
from lightrec.data.prepare import prepare
from lightrec.data.sequences import Sequences, Targets
from lightrec.data.store import TEST, TRAIN, VALIDATION, EventStore
from lightrec.evaluation.base import keys_of
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Column, Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import ahead
from lightrec.ranking.blending import candidates
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models import item_to_item as items
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.base import (
    Evidence,
    ItemModel,
    Popularity,
    RecentPopularity,
)
from lightrec.ranking.item_models.repeats import VISIT, RepeatConsumption
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.scorers import Scorer, by_history
from lightrec.ranking.sequence_data import SequenceData

LINES = 5
"""Weights are chosen on so many lines of a basket, drawn by the seed: baskets count alike."""
AGAIN = ("RepeatConsumption", "RecentPopularity")
NEAR = ("ItemKNN", "EASE", "ALS")
SETS = {"pair": AGAIN, **{f"pair-{n}": (*AGAIN, n) for n in NEAR}, "all": (*AGAIN, *NEAR)}
"""Parts of blends, the simplest one first."""


class Baskets:
    """The baskets of a tenth, each with its customer's events before that tenth.

    :param part: VALIDATION or TEST.
    """

    def __init__(self, store: EventStore, part: int) -> None:
        self.sequences = Sequences.all_events(store)
        events = np.flatnonzero(np.asarray(self.sequences.parts) == part)
        users = self.sequences.users_of(events)
        lines = pl.DataFrame({"user": users, "event": events}).with_columns(
            session=store.log[Column.SESSION].gather(events),
            item=np.asarray(self.sequences.items)[events].astype(np.int64),
            end=pl.col("event").min().over("user"),
        )
        lines = lines.filter(pl.col("end") > pl.Series(self.sequences.offsets[users]))
        self.lines = lines.unique(("user", "session", "item"), maintain_order=True)
        own = self.lines.group_by("user", "session", "end", maintain_order=True).agg("item")
        self.users = torch.from_numpy(own["user"].to_numpy().copy())
        width = int(own["item"].list.len().max())
        self.relevant = torch.tensor([[*row, *[0] * (width - len(row))] for row in own["item"]])
        first = own.unique("user", maintain_order=True)
        ends = first["end"].to_numpy(), first["user"].to_numpy()
        targets = Targets(np.ones(len(first), np.int32), ends[1], ends[0])
        self.histories = [*EvaluationEvents(self.sequences, targets, None, 64, None, 0)]

    def scores(self, scorer: Scorer) -> Tensor:
        """Score all items for each basket's customer: (B, N + 1)."""
        found = [scorer(batch).float() for batch in self.histories]
        users = torch.cat([batch[Key.USER] for batch in self.histories])
        row = torch.zeros(int(users.max()) + 1, dtype=torch.int64)
        row[users] = torch.arange(len(users))
        return torch.cat(found)[row[self.users]]

    def judge(self, scorer: Scorer) -> dict[str, Tensor]:
        """Each basket's hits in ten over what ten could hit, and NDCG@10."""
        scores = self.scores(scorer).index_fill(1, torch.tensor([0]), -torch.inf)
        best, relevant = scores.topk(10).indices, self.relevant.where(self.relevant > 0, -1)
        found = (best.unsqueeze(2) == relevant.unsqueeze(1)).any(2).double()
        most = (self.relevant > 0).sum(1).clamp(max=10)
        discounts = 1 / torch.arange(2, 12).double().log2()
        return {
            "hits": found.sum(1) / most,
            "ndcg@10": found @ discounts / discounts.cumsum(0)[most - 1],
        }

    def drawn(self, seed: int) -> Targets:
        """Draw lines of each basket, with the history before the tenth."""
        own = pl.col("item").shuffle(seed).head(LINES)
        few = self.lines.group_by("user", "session", "end", maintain_order=True).agg(own)
        few = few.explode("item")
        ends = (few[name].to_numpy() for name in ("user", "end"))
        return Targets(few["item"].to_numpy().astype(np.int32), *ends)


def measure(cell: Cell) -> dict[str, float]:
    """Choose parts and weights on the validation tenth, and judge on the last.

    The settings of item models are those of their ``GRID`` with the best NDCG@10 in that tenth.
    """
    store, seed = split(Path(cell["table"]), cell.out), cell.seed
    validation, test = Baskets(store, VALIDATION), Baskets(store, TEST)
    early = Evidence.of(store, torch.zeros(0, 0))
    known = np.asarray(validation.sequences.parts)
    parts = np.where(known == VALIDATION, TRAIN, known).astype(np.int8)
    late = replace(early, log=replace(validation.sequences, parts=parts).training())
    kinds = [RepeatConsumption(visits=True), RecentPopularity(0.03), Popularity()]
    kinds += [items.ItemKNN(10.0, 1.0), items.EASE(200.0, 1.0), ALS(128, 0.1, 1.0, seed=seed)]
    fitted = {type(kind).__name__: copy.deepcopy(kind).fit(early) for kind in kinds}
    again = {type(kind).__name__: kind.fit(late) for kind in kinds}
    names = [RANKER, *SETS["all"]]
    mixed = Blend(Ranker(store.num_items), {n: fitted[n] for n in SETS["all"]})
    events = EvaluationEvents(validation.sequences, validation.drawn(seed), None, 128, None, 0)
    data_ = SequenceData(str(store.folder), None, seed=seed)
    given = candidates(mixed, data_, map(may_repeat, events))
    # No ranker is trained here.
    weights = {name: {RANKER: 0.0} | own for name, own in weights_of(given, names, SETS).items()}
    scorers = {name: blended(fitted, own) for name, own in weights.items()}
    judged = {name: validation.judge(scorer)["ndcg@10"] for name, scorer in scorers.items()}
    best = max(judged, key=lambda name: float(judged[name].mean()))
    chosen = next(n for n in SETS if ahead(judged[best] - judged[n], validation.users) <= 1)
    recommenders = {name: blended(again, own) for name, own in weights.items()}
    recommenders |= {"chosen": recommenders[chosen], "rule": partial(rule, store.popularity())}
    recommenders |= {n: by_history(m) for n, m in again.items()}
    metrics: dict[str, float] = {"retail/baskets": len(test.users)}
    recommenders["popularity"] = recommenders.pop("Popularity")
    results = {name: test.judge(scorer) for name, scorer in recommenders.items()}
    for name, values in results.items():
        for metric, each in values.items():
            key = f"retail/{name}/{metric}"
            metrics |= keys_of(key, bootstrap_interval(each, test.users, seed=seed))
            lead = results["chosen"][metric] - each
            metrics |= keys_of(f"{key}/behind", bootstrap_interval(lead, test.users, seed=seed))
    return metrics


def split(file: Path, out: Path) -> EventStore:
    """Prepare the purchases, split where a tenth of the whole table's time is left."""
    tables = ShopSets().read(file)
    table = pl.read_parquet(file)["InvoiceDate"].str.to_datetime("%m/%d/%y %H:%M", time_unit="ms")
    begin, end = (float(x.timestamp()) for x in (table.min(), table.max()))
    bought = tables.log.events.filter(feedback="purchase")[Column.TIME].dt.epoch("ms") / 1000
    cut = begin + 0.9 * (end - begin)
    share = (bought.max() - cut) / (bought.max() - bought.min())
    return prepare(
        tables.log,
        out / "store",
        domain=EcommerceDomain(),
        weights={"purchase": 1.0, "return": 0.0},
        k_core=0,
        split="global-time",
        test_fraction=share,
        seed=0,
    )


def may_repeat(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Let what was bought be ranked."""
    return {**batch, Key.SEEN: torch.zeros_like(batch[Key.SEEN])}


def blended(models: Mapping[str, ItemModel], weights: Mapping[str, float]) -> Scorer:
    """Score by a blend without a ranker."""
    own = {name: models[name] for name in weights if name != RANKER}
    count = int(own[AGAIN[0]].size) - 1
    return by_history(Blend(Ranker(count), own, weights))


def rule(popularity: np.ndarray, batch: Mapping[str, Tensor]) -> Tensor:
    """Count the customer's own baskets with an item, each 0.9 times the next; then popularity."""
    history, visits = batch[Key.HISTORY], (batch[Key.GAP] >= VISIT).cumsum(1)
    weight = 0.9 ** (visits[:, -1:] - visits).float()
    first = torch.from_numpy(popularity / popularity.max() * 1e-6).float()
    scores = first.expand(len(history), -1).scatter_add(1, history, weight)
    return scores.index_fill(1, torch.tensor([0]), 0.0)
