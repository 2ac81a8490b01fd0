"""The blend beside the best simple rule, on a shop whose truth is known.

A rule counts what a customer did by one attribute, or by what follows what, times popularity, of
all events or of orders alone; its setting is the best on validation orders, and the best rule is
picked on the test orders, which favors it. ``oracle`` is the true probability that ten recommended
items hold of the next order, over what the best ten hold.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION, EventStore
from lightrec.evaluation.base import keys_of
from lightrec.keys import Key
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import RankingResult, evaluate_scores
from lightrec.ranking.scorers import Scorer, by_history
from lightrec.recommend import Recommender
from tests.shops import Shop

Rule: TypeAlias = Callable[[float, np.ndarray], np.ndarray]
"""From a setting and histories (B, L) to scores (B, N + 1)."""
SETTINGS = (0.2, 0.4, 0.8, 1.5, 3.0, 10.0)
"""Events that everybody's shares count for; for prices, spreads of their logarithms."""


def rules(store: EventStore, kinds: tuple[int, ...]) -> dict[str, Callable[[float], Scorer]]:
    """Plain rules of counting events of some kinds, from a setting to what ranks."""
    log, count = Sequences.all_events(store).training(), store.num_items
    assert log.feedback is not None, "shops have kinds of feedback"
    of_kinds = np.isin(log.feedback, kinds)
    items, users = log.items[of_kinds], log.users_of(np.flatnonzero(of_kinds))
    popular = np.bincount(items, minlength=count + 1) + 0.1
    follows = np.zeros((count + 1, count + 1))
    same = np.diff(users) == 0
    np.add.at(follows, (items[:-1][same], items[1:][same]), 1)
    price = np.append(0, store.catalog["price"].log().to_numpy())

    def by_value(column: pl.Series, setting: float, history: np.ndarray) -> np.ndarray:
        member = np.zeros((count + 1, column.n_unique()))
        member[np.arange(count) + 1, column.rank("dense").to_numpy() - 1] = 1
        own, usual = member[history].sum(1), popular @ member / popular.sum()
        shares = (own + setting * usual) / (own.sum(1, keepdims=True) + setting)
        return popular * (shares / usual @ member.T)

    def by_price(setting: float, history: np.ndarray) -> np.ndarray:
        level = (price[history] * (history > 0)).sum(1) + np.average(price, weights=popular)
        distance = price - (level / ((history > 0).sum(1) + 1))[:, None]
        return popular * np.exp(-(distance**2) / (2 * setting**2))

    def by_last(setting: float, history: np.ndarray) -> np.ndarray:
        latest = (history[:, ::-1] > 0).argmax(1)
        last = history[np.arange(len(history)), history.shape[1] - 1 - latest]
        return follows[last] + setting * popular / popular.sum()

    def scorer(rule: Rule, setting: float) -> Scorer:
        def scores(batch: TensorDict) -> Tensor:
            own = torch.isin(batch[Key.FEEDBACK], torch.tensor(kinds))
            return torch.from_numpy(rule(setting, (batch[Key.HISTORY] * own).numpy())).float()

        return scores

    found: dict[str, Rule] = {"price": by_price, "what follows": by_last}
    found |= {name: partial(by_value, store.catalog[name]) for name in ("category", "brand")}
    return {name: partial(scorer, rule) for name, rule in found.items()}


def measure(cell: Cell) -> dict[str, float | str]:
    """Run the ranker on a shop's log, and compare."""
    shop = Shop(cell["law"], cell.seed)
    paths = shop.write(cell.out / "shop")
    tables = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    texts = ["--values.text_encoder", "null"]
    run = cell.run("generic", *tables, "--goal", "order", *texts, "--until", "ranker")

    def ranked(scores: Scorer, part: int = TEST) -> RankingResult:
        events = EvaluationEvents(Sequences.all_events(run.data), part, None, 256, None, 0)
        return evaluate_scores(scores, events)

    results, found = {"blend": ranked(by_history(run.blend))}, {}
    everything = tuple(range(1, len(run.data.feedback_kinds) + 1))
    kinds = [rules(run.data, some) for some in (everything, run.data.goal_kinds)]
    for name in kinds[0]:
        tried = [each[name](setting) for each in kinds for setting in SETTINGS]
        found[name] = ranked(max(tried, key=lambda r: ranked(r, VALIDATION).metrics()["ndcg@10"]))
    results |= found
    ndcg = {f"test/{name}/ndcg@10": r.metrics()["ndcg@10"] for name, r in results.items()}
    best = max(found, key=lambda name: ndcg[f"test/{name}/ndcg@10"])
    ahead = results["blend"].bootstrap(found[best], seed=cell.seed)
    lists = pl.concat(Recommender(run.path).recommend_all())
    shown = lists.group_by("user", maintain_order=True).agg("item").rows()
    oracle = shop.share_of_oracle({str(user): items for user, items in shown})
    metrics = ndcg | keys_of("test/blend-minus-rule/ndcg@10", ahead) | {"oracle": oracle}
    return metrics | {"best rule": best, "chosen": run.blend.chosen}
