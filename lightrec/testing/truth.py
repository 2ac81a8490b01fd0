"""How much a run has found out of what is true in a made-up log."""

from pathlib import Path

import numpy as np
import polars as pl

from lightrec.data.made_up import APPEAL, TRUTH
from lightrec.keys import Column
from lightrec.recommend import Recommender


def recovered(run: Path | str, folder: Path, k: int = 10) -> dict[str, float]:
    """Compare the appeal of what a run recommends with that of the best lists.

    Everybody is recommended to from what came before their test events.

    :param run: a finished run, or one up to its ranker, on the log in ``folder``.
    :param folder: what :func:`~lightrec.data.made_up.write_made_up` wrote.
    :param k: items in a list.
    :returns: ``blend`` and ``popularity``: the mean appeal of their lists on a scale from 0, that
        of all items, to 1, that of the k most appealing ones.
    """
    recommender = Recommender(run, by="blend")
    lists = pl.concat(recommender.recommend_all(k=k, before="test"))
    counts = recommender.store.popularity()[1:]
    favourites = recommender.store.catalog[Column.ITEM].gather(np.argsort(-counts)[:k])
    truth, own = pl.read_parquet(folder / TRUTH), pl.col(APPEAL)
    people = truth.group_by(Column.USER).agg(
        every=own.mean(),
        best=own.top_k(k).mean(),
        popularity=own.filter(pl.col(Column.ITEM).is_in(favourites.implode())).mean(),
    )
    shown = lists.join(truth, on=[Column.USER, Column.ITEM])
    people = people.join(shown.group_by(Column.USER).agg(blend=own.mean()), on=Column.USER)
    means = people.select(pl.col(pl.Float64).mean()).row(0, named=True)
    way = means["best"] - means["every"]
    return {name: (means[name] - means["every"]) / way for name in ("blend", "popularity")}
