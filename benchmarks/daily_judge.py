"""How an updated run, one trained anew, one left as it was and popularity rank the day after."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.store import padded
from lightrec.intervals import bootstrap_interval
from lightrec.keys import PADDING, Column
from lightrec.ranking.item_models.base import Evidence, Popularity
from lightrec.run import Run

BATCH = 128


def next_events(before: Path, day: Path, repeats: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give users' events up to the end of a day in order, and those of the day to be foretold.

    Of these, ``place`` is the user's position in the first; an event without a history is left out,
    and where items do not repeat one about an item that the user had.
    """
    log = pl.concat([pl.read_csv(before), pl.read_csv(day)]).select(
        pl.col("user", "item").cast(pl.String), "time"
    )
    log = log.sort("user", "time", maintain_order=True).with_row_index("place")
    first = pl.read_csv(day)["time"].min()
    fresh = log.filter(
        pl.col("time") >= first, pl.col("place") > pl.col("place").min().over("user")
    )
    if not repeats:
        had = log.group_by("user", "item", maintain_order=True).agg(pl.col("place").min())
        fresh = fresh.join(had, on=["user", "item", "place"], how="semi")
    return log, fresh


@torch.inference_mode()
def gains(
    run: Run, score: Callable[[Tensor], Tensor], log: pl.DataFrame, day: pl.DataFrame
) -> Tensor:
    """NDCG@10 of each event, (E,): 0 where the run does not know the item."""
    store = run.data
    numbers = {item: n for n, item in enumerate(store.catalog[Column.ITEM], start=1)}
    known = log["item"].replace_strict(numbers, default=0, return_dtype=pl.Int32).to_numpy()
    begins = log.group_by("user").agg(pl.col("place").min().alias("begin"))
    day = day.join(begins, on="user", how="left", maintain_order="left")
    starts, ends = (day[name].to_numpy().astype(np.int64) for name in ("begin", "place"))
    # Items that a run does not know leave no gaps in histories.
    there = np.concatenate([[0], np.cumsum(known > 0)])
    kept, found = known[known > 0], []
    for at in range(0, day.height, BATCH):
        rows = slice(at, at + BATCH)
        history = torch.from_numpy(padded(kept, there[starts[rows]], there[ends[rows]]))
        target = torch.from_numpy(known[ends[rows]].astype(np.int64))
        scores = score(history).clone()
        scores[:, PADDING] = -torch.inf
        if not store.repeats:
            scores.scatter_(1, history, -torch.inf)
        own = scores.gather(1, target[:, None])
        rank = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2 + 1
        gain = 1 / (rank.double() + 1).log2()
        found.append(torch.where((rank <= 10) & (target > 0), gain, 0.0))
    return torch.cat(found)


def judge(updated: Path, anew: Path, before: Path, day: Path) -> dict[str, float]:
    """Give means, and the differences from training anew with their intervals over users."""
    runs = {"update": Run(updated), "anew": Run(anew), "left": Run(updated, follow=False)}
    log, fresh = next_events(before, day, runs["anew"].data.repeats)
    own = {
        name: gains(run, lambda history, run=run: run.blend.scores(history), log, fresh)
        for name, run in runs.items()
    }
    store = runs["anew"].data
    popular = Popularity().fit(Evidence.of(store, torch.zeros(store.num_items + 1, 0)))
    own["popularity"] = gains(runs["anew"], popular.scores, log, fresh)
    users = torch.from_numpy(fresh["user"].rank("dense").cast(pl.Int64).to_numpy() - 1)
    metrics: dict[str, float] = {"events": float(len(users)), "users": float(len(users.unique()))}
    metrics |= {f"{name}/ndcg@10": float(values.mean()) for name, values in own.items()}
    for name in ("update", "left", "popularity"):
        mean, low, high = bootstrap_interval(own[name] - own["anew"], users)
        key = f"{name}-minus-anew/ndcg@10"
        metrics |= {key: mean, f"{key}/low": low, f"{key}/high": high}
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


if __name__ == "__main__":
    found = judge(*map(Path, sys.argv[1:5]))
    Path(sys.argv[5]).write_text(json.dumps(found))
