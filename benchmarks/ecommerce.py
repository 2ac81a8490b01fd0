"""Next baskets, coats drawn at random, and two bandits: `make bench NAME=ecommerce`.

Online Retail, Coat and the small Open Bandit Dataset, from the folder that ``--data`` or
LIGHTREC_TEST_DATA names. ``--only NAME`` runs some of the cells.

Online Retail is split by time: the last tenth of it is the test, and settings and weights are
chosen on the tenth before, by models that know what came earlier. For the test the chosen models
are fitted again to all that is before it. A list is made once for each customer, from what is
before the tenth that is judged; baskets of customers without any are left out.
"""

import copy
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
import torch
from lightrec_ecommerce.domain import EcommerceDomain
from lightrec_ecommerce.experiments import CoatReader, OpenBanditReader
from lightrec_ecommerce.readers import RetailReader
from torch import Tensor

from benchmarks.cells import RESULTS, Benchmark, data_folder, markdown
from lightrec.data.prepare import prepare
from lightrec.data.sequences import Sequences, Targets
from lightrec.data.store import TEST, TRAIN, VALIDATION, EventStore
from lightrec.evaluation.base import Intervals, interval, keys_of, spread
from lightrec.evaluation.held_out import by_history
from lightrec.intervals import bootstrap_interval
from lightrec.keys import Column, Key
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.blend_weights import Candidates, ahead, choose_weights
from lightrec.ranking.blending import candidates, heard
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
from lightrec.ranking.metrics import top_items
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.scorers import Scorer
from lightrec.ranking.sequence_data import SequenceData
from lightrec.report.charts import draw
from lightrec.run import Run
from lightrec.stages.run import run

SEEDS = (3, 4, 5)
PICTURE = RESULTS.parents[1] / "plugins" / "lightrec-ecommerce" / "baskets.png"
LINES = 5
"""Weights are chosen on so many lines of a basket, drawn by the seed: baskets count alike."""
AGAIN = ("RepeatConsumption", "RecentPopularity")
NEAR = ("ItemKNN", "EASE", "ALS")
SETS = {"pair": AGAIN, **{f"pair-{n}": (*AGAIN, n) for n in NEAR}, "all": (*AGAIN, *NEAR)}
"""Parts of blends, the simplest one first."""
BASKETS = {
    "chosen": "blend, its parts chosen on validation",
    "all": "blend of all item models",
    "rule": "frequency and recency, a rule",
    "RepeatConsumption": "RepeatConsumption of baskets",
    "ALS": "ALS",
    "ItemKNN": "co-occurrence (ItemKNN)",
    "popularity": "popularity",
}
COATS = {
    "attributes": "attributes of people and coats, by ridge",
    "rating": "mean rating",
    "blend": "blend, of coats liked",
    "popularity": "popularity",
}


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
        """Give each basket's hits in ten over what ten could hit, and NDCG@10."""
        listed = top_items(self.scores(scorer), 10)
        hits = (listed[:, :, None] == self.relevant[:, None]).any(2).double()
        size = (self.relevant > 0).sum(1).clamp(max=10)
        discounts = 1 / torch.log2(torch.arange(2, 12).double())
        ideal = discounts.cumsum(0)[size - 1]
        return {"hits": hits.sum(1) / size, "ndcg@10": hits @ discounts / ideal}

    def drawn(self, seed: int) -> Targets:
        """Draw lines of each basket, with the history before the tenth."""
        own = pl.col("item").shuffle(seed).head(LINES)
        few = self.lines.group_by("user", "session", "end", maintain_order=True).agg(own)
        few = few.explode("item")
        ends = (few[name].to_numpy() for name in ("user", "end"))
        return Targets(few["item"].to_numpy().astype(np.int32), *ends)


def retail(data: Path, out: Path, seed: int) -> dict[str, float]:
    """Choose parts and weights on the validation tenth, and judge on the last.

    The settings of item models are those of their ``GRID`` with the best NDCG@10 in that tenth.
    """
    store = split(data / "online-retail" / "online_retail.parquet", out)
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
    weights, judged = {}, {}
    for name, members in SETS.items():
        # No ranker is trained here.
        rows = [names.index(member) for member in members]
        part = Candidates(given.differences[rows], given.corrections, given.ranked, given.users)
        weights[name] = {RANKER: 0.0} | heard(choose_weights(part, members)[0])
        judged[name] = validation.judge(blended(fitted, weights[name]))["ndcg@10"]
    best = max(judged, key=lambda name: float(judged[name].mean()))
    chosen = next(n for n in SETS if ahead(judged[best] - judged[n], validation.users) <= 1)
    contenders = {name: blended(again, own) for name, own in weights.items()}
    contenders |= {"chosen": contenders[chosen], "rule": partial(rule, store.popularity())}
    contenders |= {n: by_history(m) for n, m in again.items()}
    metrics: dict[str, float] = {"retail/baskets": len(test.users)}
    metrics |= {"retail/validation-baskets": len(validation.users)}
    metrics |= {f"retail/chosen/is-{name}": float(name == chosen) for name in SETS}
    metrics |= {f"retail/{s}/validation/ndcg@10": float(v.mean()) for s, v in judged.items()}
    contenders["popularity"] = contenders.pop("Popularity")
    results = {name: test.judge(scorer) for name, scorer in contenders.items()}
    for name, values in results.items():
        for metric, each in values.items():
            key = f"retail/{name}/{metric}"
            metrics |= keys_of(key, bootstrap_interval(each, test.users, seed=seed))
            lead = results["chosen"][metric] - each
            metrics |= keys_of(f"{key}/behind", bootstrap_interval(lead, test.users, seed=seed))
    for name, own in weights.items():
        metrics |= {f"retail/{name}/weight/{part}": weight for part, weight in own.items()}
    return metrics


def split(file: Path, out: Path) -> EventStore:
    """Prepare the purchases, split where a tenth of the whole table's time is left."""
    tables = RetailReader().read(file)
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


def coat(data: Path, out: Path, seed: int) -> dict[str, float]:
    """Learn from coats that people chose to rate, and rank sixteen that were drawn for each."""
    folder = data / "coat"
    options = {
        "values": ["--text_encoder=null"],
        "data": ["--minimum_value=3", "--equal_times=shuffle", "--k_core=0"],
    }
    found = Run(
        run("ecommerce", log=folder, out=out / "run", seed=seed, until="ranker", overrides=options)
    )
    tables = CoatReader().read(folder)
    people, coats = (table.rows for table in (tables.users, tables.catalog) if table)
    train, test = (
        matrix(CoatReader().read_log(folder / f"{part}.ascii").events) for part in ("train", "test")
    )
    given = train > 0
    mean = train[given].mean()
    rating = (train.sum(0) + 5 * mean) / (given.sum(0) + 5)
    scores = {
        "popularity": np.tile(given.sum(0), (len(train), 1)).astype(float),
        "rating": np.tile(rating, (len(train), 1)),
        "attributes": ridge(people, coats.drop("title", "text"), train, seed),
        "blend": of_blend(found, len(people), len(coats)),
    }
    metrics: dict[str, float] = {}
    for name, table in scores.items():
        for metric, values in ranked(table, test).items():
            users = torch.from_numpy(np.flatnonzero(np.isfinite(values)))
            ends = bootstrap_interval(torch.from_numpy(values[users.numpy()]), users, seed=seed)
            metrics |= keys_of(f"coat/{name}/{metric}", ends)
    return metrics


def matrix(events: pl.DataFrame) -> np.ndarray:
    """Give ratings as (290, 300), 0 where there is none."""
    found = np.zeros((290, 300))
    found[events["user"].cast(int).to_numpy(), events["item"].cast(int).to_numpy()] = events[
        "value"
    ]
    return found


def of_blend(found: Run, people: int, coats: int) -> np.ndarray:
    """Score all coats for all people by a run's blend."""
    store, sequences = found.data, Sequences.chosen(found.data)
    ends = sequences.offsets[1:]
    targets = Targets(np.ones(len(ends), np.int32), np.arange(len(ends)), ends)
    scores = np.full((people, coats), -100.0)
    columns = store.catalog[Column.ITEM].cast(int).to_numpy()
    rows = store.user_ids.cast(int).to_numpy()
    scorer = by_history(found.blend)
    with torch.no_grad():
        for batch in EvaluationEvents(sequences, targets, None, 64, None, 0):
            users = rows[batch[Key.USER].numpy()]
            scores[np.ix_(users, columns)] = scorer(batch)[:, 1:].numpy()
    return scores


def ridge(people: pl.DataFrame, coats: pl.DataFrame, train: np.ndarray, seed: int) -> np.ndarray:
    """Regress ratings on attributes and their pairs; the penalty is chosen on a fifth of them."""
    one, other = (
        table.drop(table.columns[0]).to_dummies().to_numpy().astype(float)
        for table in (people, coats)
    )
    rows, columns = np.nonzero(train)
    pairs = np.einsum("ua,ib->uiab", one, other).reshape(len(one), len(other), -1)
    sides = np.broadcast_to(one[:, None], (*train.shape, one.shape[1]))
    table = np.concatenate(
        [pairs, sides, np.broadcast_to(other, (*train.shape, other.shape[1]))], 2
    )
    x, y = table[rows, columns], train[rows, columns]
    held = np.random.default_rng(seed).random(len(y)) < 0.2

    def fit(penalty: float, own: np.ndarray) -> tuple[np.ndarray, float]:
        mean = y[own].mean()
        gram = x[own].T @ x[own] + penalty * np.eye(x.shape[1])
        return np.linalg.solve(gram, x[own].T @ (y[own] - mean)), mean

    def loss(penalty: float) -> float:
        weights, mean = fit(penalty, ~held)
        return float(((x[held] @ weights + mean - y[held]) ** 2).mean())

    weights, mean = fit(min((3.0, 10.0, 30.0, 100.0, 300.0), key=loss), np.full(len(y), True))
    return table @ weights + mean


def ranked(scores: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """Give each person's AUC and NDCG@5 of the rated coats, of which those from 3 are relevant.

    Equal scores count as half a pair, and stand in the order of the coats. NaN where a person's
    coats are all relevant, or none.
    """
    found = np.full((2, len(test)), np.nan)
    discounts = 1 / np.log2(np.arange(2, 7))
    for user in range(len(test)):
        own = np.flatnonzero(test[user])
        good, values = test[user, own] >= 3, scores[user, own]
        if good.all() or not good.any():
            continue
        gaps = values[good][:, None] - values[~good]
        found[0, user] = ((gaps > 0) + (gaps == 0) / 2).mean()
        top = good[np.argsort(-values, kind="stable")][:5]
        found[1, user] = top @ discounts / discounts[: good.sum()].sum()
    return {"auc": found[0], "ndcg@5": found[1]}


def bandit(data: Path, out: Path, seed: int) -> dict[str, float]:
    """Give click rates of both policies, and that of random choice by the other's propensities."""
    metrics: dict[str, float] = {}
    for policy in ("random", "bts"):
        log = (
            OpenBanditReader().read_log(data / "open-bandit-small" / "obd" / policy / "men").events
        )
        click = torch.from_numpy(log["value"].to_numpy().copy())
        rows = torch.arange(len(click))
        weight = torch.from_numpy((1 / (34 * log["propensity"])).to_numpy().copy())
        for name, values in (("clicks", click), ("uniform", click * weight)):
            ends = bootstrap_interval(values, rows, seed=seed)
            metrics |= keys_of(f"bandit/{policy}/{name}", ends)
    return metrics


PARTS: dict[str, Callable[[Path, Path, int], dict[str, float]]] = {
    "retail": retail,
    "coat": coat,
    "bandit": bandit,
}


def main() -> None:
    """Run the cells, print the tables and draw the picture."""
    benchmark, data = Benchmark("ecommerce"), data_folder()
    for part in PARTS:
        for seed in SEEDS[:1] if part == "bandit" else SEEDS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.ecommerce",
                "{out}",
                part,
                "{data}",
                str(seed),
            ]
            key = f"{part}/seed-{seed}"
            if benchmark.wants(key) and (data or benchmark.has(key)):
                benchmark.cell(key, command, seed, "metrics.json", data=data)
    print(*(table(benchmark.cells) for table in (baskets, coats, bandits)), sep="\n\n")
    shown = {
        title: tuple(
            of(benchmark.cells, "retail", f"{name}/ndcg@10{end}") for end in ("", "/low", "/high")
        )
        for name, title in BASKETS.items()
    }
    draw([Intervals(shown, "NDCG@10 of the next basket")]).savefig(PICTURE, dpi=110)


def of(cells: dict[str, dict], part: str, key: str) -> float:
    """Give the mean of a metric over the seeds."""
    own = [cell["metrics"] for name, cell in cells.items() if name.startswith(f"{part}/")]
    return fmean(metrics[f"{part}/{key}"] for metrics in own)


def baskets(cells: dict[str, dict]) -> str:
    """Set hits and NDCG@10 of the next baskets as a Markdown table."""
    seeds = [cells[f"retail/seed-{s}"]["metrics"] for s in SEEDS if f"retail/seed-{s}" in cells]
    rows = []
    for name, title in BASKETS.items():
        row = [title]
        for metric in ("hits", "ndcg@10"):
            row += [" ".join(f"{m[f'retail/{name}/{metric}']:.4f}" for m in seeds)]
            ends = (of(cells, "retail", f"{name}/{metric}{end}") for end in ("", "/low", "/high"))
            row.append(spread(tuple(ends), ".3f"))
        lead = interval(seeds[0], f"retail/{name}/ndcg@10/behind")
        rows.append([*row, "–" if name == "chosen" else spread(lead, "+.4f")])
    head = ["next basket", "hits, by seed", "mean", "NDCG@10, by seed", "mean", "chosen less it"]
    return markdown(head, rows)


def coats(cells: dict[str, dict]) -> str:
    """Set AUC and NDCG@5 on Coat as a Markdown table."""
    return markdown(
        ["coats drawn at random", "AUC (95 %)", "NDCG@5 (95 %)"],
        [
            [
                title,
                *(_mean(cells, "coat", f"{name}/{metric}", ".3f") for metric in ("auc", "ndcg@5")),
            ]
            for name, title in COATS.items()
        ],
    )


def bandits(cells: dict[str, dict]) -> str:
    """Set click rates as a Markdown table."""
    titles = {"random": "uniform at random", "bts": "Bernoulli Thompson sampling"}
    return markdown(
        ["policy of the log", "clicks (%)", "random choice, by its propensities (%)"],
        [
            [
                title,
                *(
                    _mean(cells, "bandit", f"{policy}/{name}", ".2%")
                    for name in ("clicks", "uniform")
                ),
            ]
            for policy, title in titles.items()
        ],
    )


def _mean(cells: dict[str, dict], part: str, key: str, form: str) -> str:
    return spread(tuple(of(cells, part, f"{key}{end}") for end in ("", "/low", "/high")), form)


if __name__ == "__main__":
    if len(sys.argv) == 5 and not sys.argv[1].startswith("--"):
        made = PARTS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[1]), int(sys.argv[4]))
        (Path(sys.argv[1]) / "metrics.json").write_text(json.dumps(made))
    else:
        main()
