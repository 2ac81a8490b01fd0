"""The evaluator of what noise in histories does to rankings, and what false users can do."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Evidence, ItemModel, Key, NotApplicable, Run, noise
from lightrec.data.store import TRAIN
from lightrec.evaluation.base import Evaluator, Findings, Metrics, Section, Table, keys_of
from lightrec.evaluation.held_out import HeldOutLog, item_models, mean_of_users
from lightrec.ranking.blend import RANKER, Blend
from lightrec.ranking.scorers import Scorer, by_history

BLEND: Final = "blend"
NOISE: Final = (0.1, 0.3)
"""Probabilities with which an event of a history is about an item drawn at random."""
FALSE_USERS, PROMOTED = 0.01, 5
"""False users as a share of the users, and items that they promote."""
MAX_EVENTS: Final = 2_000
"""Test events at most, drawn by the seed."""


class Robustness(Evaluator):
    """Ranks the test events after noise in their histories, and after a planted attack.

    In a noisy history each event is about an item drawn at random with a given probability. In the
    attack, false users are added to the training events (a bandwagon attack, Mobasher et al. 2007):
    each chose the promoted items, drawn from the less popular half, and famous items drawn by
    popularity. The item models are fitted to it again with the settings and weights of the run;
    the ranker is not trained again, so that its share of the blend knows nothing of the attack.
    """

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``robust/<recommender>/…``."""
        models, scorers = dict(item_models(run)), {BLEND: by_history(run.blend)}
        scorers |= {name: by_history(model) for name, model in models.items()}
        log = HeldOutLog(MAX_EVENTS)
        plain = {name: log.rank(run.data, scorer, seed) for name, scorer in scorers.items()}
        metrics = {f"robust/{n}/ndcg@10": r.metrics()["ndcg@10"] for n, r in plain.items()}
        for share in NOISE:
            for name, scorer in scorers.items():
                mixed = noisy(scorer, share, run.data.num_items, seed)
                change = log.rank(run.data, mixed, seed).bootstrap(plain[name], seed=seed)
                metrics |= keys_of(f"robust/{name}/noise-{share:g}", change)
        evidence = Evidence.of(run.data, run.ranker.items.vectors)
        planted, items = attacked(evidence, FALSE_USERS, PROMOTED, seed)
        fooled: dict[str, ItemModel] = {}
        for name, model in models.items():
            # Fitting writes into a model, and the run's own are still needed.
            other = type(model)(**model.settings)
            with suppress(NotApplicable):
                fooled[name] = other.fit(planted)
        blend = run.blend
        weights = {n: w for n, w in blend.weights.items() if n == RANKER or n in fooled}
        again = blend.reranker if {*weights} == {*blend.weights} else None
        attacked_blend = Blend(blend.ranker, fooled, weights, blend.smoothing, again)
        after = {BLEND: by_history(attacked_blend)}
        after |= {name: by_history(model) for name, model in fooled.items()}
        metrics["robust/false_users"] = len(planted.log.offsets) - len(evidence.log.offsets)
        for name, scorer in after.items():
            ranked = log.rank(run.data, scorer, seed)
            change = ranked.bootstrap(plain[name], seed=seed)
            metrics |= keys_of(f"robust/{name}/attacked", change)
            for when, result in (("before", plain[name]), ("after", ranked)):
                held = torch.isin(result.lists, items).any(dim=1).double()
                metrics |= mean_of_users(f"robust/{name}/{when}", held, result.users, seed)
        return Findings(metrics, [self.section(metrics)])

    def section(self, metrics: Metrics) -> Section:
        """Set what noise and attack change."""
        names = {n: n for n in (k.split("/")[1] for k in metrics if k.endswith("/ndcg@10"))}
        noise = {f"noise-{share:g}": f"{share:.0%} noise" for share in NOISE}
        columns = {"ndcg@10": "as it is"} | noise | {"attacked": "after the attack"}
        attack = {"before": "before the attack", "after": "after the attack"}
        false, corner = int(metrics["robust/false_users"]), "lists with a promoted item"
        return Section(
            "Noise and false users",
            "How NDCG@10 changes if part of each history is random, and if "
            f"{false:,} false users promote {PROMOTED} items that few chose, by choosing them "
            "beside famous ones; and how many lists of ten then hold one of these items.",
            [
                Table.of(metrics, "robust/{}/{}", names, columns, "NDCG@10", BLEND, "+.3f"),
                Table.of(metrics, "robust/{}/{}", names, attack, corner, BLEND, ".2%"),
            ],
            note="Differences are paired by user, with 95 % intervals. Item models are fitted "
            "again with the false users; the ranker is not trained again, so the blend's own "
            "figure is a lower bound of what the attack can do.",
        )


def noisy(scorer: Scorer, share: float, num_items: int, seed: int) -> Scorer:
    """Let a scorer read histories in which each item is, with a probability, one at random."""

    def scores(batch: Mapping[str, Tensor]) -> Tensor:
        history = batch[Key.HISTORY]
        places = torch.arange(history.shape[1], device=history.device)
        key = noise.mix(noise.mix(history.new_full((), seed), 1) + batch[Key.USER], 1)[:, None]
        drawn = noise.mix(key + places, 1) & (2**52 - 1)
        other = 1 + (drawn >> 20) % num_items
        replaced = ((drawn & (2**20 - 1)) < share * 2**20) & (history != PADDING)
        return scorer({**batch, Key.HISTORY: other.where(replaced, history)})

    return scores


def attacked(evidence: Evidence, share: float, promoted: int, seed: int) -> tuple[Evidence, Tensor]:
    """Add false users to training events.

    :param share: of the users, at least one of them.
    :returns: the evidence with them, and the promoted items, (P,) int64.
    """
    generator = np.random.default_rng((seed, 2))
    log, counts = evidence.log, evidence.counts()[1:].double().numpy()
    lengths = np.diff(log.offsets)
    users = max(round(share * int((lengths > 0).sum())), 1)
    tail = np.argsort(counts, kind="stable")[: max(evidence.num_items // 2, 1)] + 1
    items = np.sort(generator.permutation(tail)[:promoted])
    filler = max(int(np.median(lengths[lengths > 0])) - len(items), 1)
    famous = np.setdiff1d(np.arange(1, evidence.num_items + 1), items)
    weights = counts[famous - 1] / max(counts[famous - 1].sum(), 1)
    drawn = min(filler, int((weights > 0).sum()))
    sessions = [
        generator.permutation(
            np.append(items, generator.choice(famous, drawn, replace=False, p=weights))
        )
        for _ in range(users)
    ]
    chosen = np.concatenate(sessions)
    best = 1 if evidence.worth is None else max(int(evidence.worth.argmax()), 1)
    added = {"items": chosen, "seen": chosen, "parts": TRAIN, "feedback": best}
    added["times"] = log.times.max(initial=0)
    columns: dict[str, Any] = {
        name: np.append(known, np.full(len(chosen), values, known.dtype))
        for name, values in added.items()
        if (known := getattr(log, name)) is not None
    }
    ends = log.offsets[-1] + np.cumsum([len(session) for session in sessions])
    planted = replace(
        evidence,
        log=replace(log, offsets=np.append(log.offsets, ends), **columns),
        people=pad(evidence.people, (0, 0, 0, users)),
        # Nobody knows anything of them.
        users=pl.concat([evidence.users, evidence.users.clear(users)]),
    )
    return planted, torch.from_numpy(items.astype(np.int64))
