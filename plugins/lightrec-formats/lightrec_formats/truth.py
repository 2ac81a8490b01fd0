"""Synthetic logs: quick runs on them, and how much of what is true in them a run has found out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import torch
from lightrec_testing.contract import Check, DoesNotApply, Faults, checks_of, promise
from lightrec_testing.tiny import kit_folder
from numpy.typing import NDArray
from tensordict import TensorDict
from torch.nn.functional import pad

from lightrec import plugins
from lightrec.api import Column, EventStore, Key, Recommender, RewardContext, Run
from lightrec.data.domain import LogMask
from lightrec_formats.made_up import APPEAL, TRUTH

DRAWS, SLATE = 1_000_000, 10
"""How many items a policy draws, and how many of them at once."""
Forbidden: TypeAlias = Callable[[EventStore], NDArray[np.bool_]]
"""From a prepared log to what must not be shown to whom, (U, N) bool."""


def recovered(run: Path | str, folder: Path, k: int = 10) -> dict[str, float]:
    """Compare the appeal of what a run recommends with that of the best lists.

    Everybody is recommended to from what came before their test events.

    :param run: a finished run, or one up to its ranker, on the log in ``folder``.
    :param folder: what :func:`~lightrec_formats.made_up.write_made_up` wrote.
    :param k: items in a list.
    :returns: ``blend`` and ``popularity``: the mean appeal of their lists on a scale from 0, that
        of all items, to 1, that of the k most appealing ones.
    :raises DoesNotApply: where the folder holds no truth.
    """
    if not (folder / TRUTH).is_file():
        raise DoesNotApply(f"`synthetic` writes no {TRUTH}: user, item and {APPEAL} of all pairs.")
    recommender = Recommender(run, by="blend")
    lists = pl.concat(recommender.recommend_all(k=k, before="test"))
    counts = recommender.store.popularity()[1:]
    favourites = recommender.store.catalog[Column.ITEM].gather(np.argsort(-counts)[:k])
    truth, appeal = pl.read_parquet(folder / TRUTH), pl.col(APPEAL)
    people = truth.group_by(Column.USER).agg(
        every=appeal.mean(),
        best=appeal.top_k(k).mean(),
        popularity=appeal.filter(pl.col(Column.ITEM).is_in(favourites.implode())).mean(),
    )
    shown = lists.join(truth, on=[Column.USER, Column.ITEM])
    people = people.join(shown.group_by(Column.USER).agg(blend=appeal.mean()), on=Column.USER)
    means = people.select(pl.col(pl.Float64).mean()).row(0, named=True)
    way = means["best"] - means["every"]
    return {name: (means[name] - means["every"]) / way for name in ("blend", "popularity")}


class MadeUp(NamedTuple):
    """A synthetic log and a run on it.

    :param log: the folder of the log, with its truth.
    :param run: the folder of the run.
    """

    log: Path
    run: Path

    @property
    def store(self) -> EventStore:
        """The prepared log."""
        return Run(self.run).data

    @property
    def context(self) -> RewardContext:
        """The context that rewards are bound to: the prepared log, without a user model."""
        return RewardContext(store=self.store)


@cache
def made_up(domain: str, *item_models: str, seed: int = 0, text_encoder: str = "null") -> MadeUp:
    """Write a domain's synthetic log and run its recipes on it up to the blend, once a process.

    It takes seconds: the ranker is not trained, and only item models are blended.

    :param domain: its name, which is also that of its recipes.
    :param item_models: names of those that are blended, such as ``Popularity`` and ``EASE``.
    :param seed: of the log.
    :param text_encoder: its name, where the untrained ranker is to know texts.
    """
    from lightrec.stages.run import run

    settings = {
        "values": [f"--text_encoder={text_encoder}"],
        "text": ["--model.init_args.tune=none"],
        "ranker": [
            "--trainer.max_epochs=0",
            "--model.init_args.size=8",
            "--model.init_args.tower.init_args.layers=1",
            f"--model.init_args.item_models=[{', '.join(item_models)}]",
        ],
    }
    with kit_folder(domain) as folder:
        empty = folder / "log"
        empty.mkdir()
        log = plugins.installed().get("domains", domain).made().synthetic(empty, seed)
        out = folder / "run"
        return MadeUp(log, run(domain, out=out, log=log, until="ranker", overrides=settings))


@dataclass(frozen=True)
class TruthChecks:
    """The checks of a domain on its synthetic log: truth found, nothing forbidden allowed.

    :param domain: its name.
    :param made: gives its synthetic log and a run on it, as :func:`made_up` does.
    :param ahead: by how much the blend is to be ahead of popularity, as :func:`recovered` has it.
    :param blend: where the blend is to be at least.
    :param forbidden: what the domain forbids, worked out by another way than ``eligible``; None
        where it forbids nothing.
    """

    domain: str
    made: Callable[[], MadeUp]
    ahead: float
    blend: float = 0.0
    forbidden: Forbidden | None = None

    def __iter__(self) -> Iterator[Check]:
        functions = (truth_is_found,) if self.forbidden is None else (truth_is_found, masks)
        yield from checks_of(self.domain, functions, self)


@promise("See that people choose by appeal, or blend item models that know what it follows.")
def truth_is_found(checks: TruthChecks) -> Faults:
    """From a synthetic log a blend of item models learns what appeals, and more than is popular."""
    made = checks.made()
    blend, popularity = recovered(made.run, made.log).values()
    if blend < max(checks.blend, popularity + checks.ahead):
        yield (
            f"The blend is at {blend:.2f} and popularity at {popularity:.2f}, "
            f"where {checks.blend} and {checks.ahead} more than popularity were expected."
        )


@promise("Correct `eligible`, or what is expected of it.")
def masks(checks: TruthChecks) -> Faults:
    """Nobody may be shown what is forbidden them, and for somebody something is forbidden; of a
    million items that a policy draws none is.
    """
    store = checks.made().store
    assert checks.forbidden is not None
    forbidden = torch.from_numpy(checks.forbidden(store))
    if not 0 < forbidden.double().mean() < 1:
        yield f"Of all pairs of people and items, {int(forbidden.sum())} are forbidden."
    allowed = LogMask(store)(torch.arange(store.num_users))
    wrong = forbidden if allowed is None else forbidden & allowed[:, 1:]
    if wrong.any():
        user, item = wrong.nonzero()[0].tolist()
        yield f"{store.user_ids[user]} may be shown {store.catalog[Column.ITEM][item]}."
    elif allowed is not None:
        state = TensorDict({Key.STEP: torch.zeros(len(allowed), 1), Key.MASK: allowed})
        policy = plugins.installed().get("policies", "RandomPolicy").made(store.num_items)
        law = policy.distribution(state, SLATE)
        never = pad(forbidden, (1, 0))  # an empty place holds 0
        slates = (law.sample() for _ in range(DRAWS // (SLATE * len(allowed)) + 1))
        if drawn := sum(int(never.gather(1, slate).sum()) for slate in slates):
            yield f"Of {DRAWS:,} items drawn, {drawn} are forbidden."
