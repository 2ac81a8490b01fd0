"""The weights of a blend, chosen on held-out events: the most likely, searched ones, or their mean.

What the parts say is computed elsewhere, once: see :mod:`lightrec.ranking.blending`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from lightrec.intervals import ahead
from lightrec.ranking.item_models.base import Popularity
from lightrec.ranking.metrics import event_metrics

ABSENT: Final = -1e4
"""The difference of a candidate that takes no part."""
FOLDS: Final = 5
"""Weights are searched without a fold, and judged on it."""
SHARES: Final = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8)
"""Values that the search tries as the share of one part in all weights."""
ROUNDS: Final = 3
"""Times that the search goes through all parts."""
CUTOFF: Final = 10
FEW: Final = 300
"""With fewer held-out events than this, popularity stays unless it is beaten clearly:"""
CLEAR: Final = 2.0
"""by this number of standard errors."""

Choice: TypeAlias = Literal["likelihood", "ndcg", "mean", "popularity"]
LIKELIHOOD: Final = "likelihood"
SEARCH: Final = "ndcg"
MEAN: Final = "mean"
POPULARITY: Final = "popularity"


@dataclass(frozen=True)
class Candidates:
    """Scores of the K parts of a blend for candidates, beside the items that came at E events.

    :param differences: (K, E, C) float32: a part's logarithm for a candidate, less that for the
        item that came; ``ABSENT`` where a candidate takes no part.
    :param corrections: (E, C) float32: logarithm of how many items a candidate stands for; -inf
        where it takes no part.
    :param ranked: the first so many candidates of an event are those that can be before the item
        that came; the others are a sample.
    :param users: (E,) int64.
    :param met: (E,) bool: what its user had seen before; None where that is not asked.
    """

    differences: Tensor
    corrections: Tensor
    ranked: int
    users: Tensor
    met: Tensor | None = None

    def heads(self) -> Tensor:
        """(K, E, H): of the candidates that are ranked."""
        return self.differences[:, :, : self.ranked]


def gains(scores: Tensor) -> Tensor:
    """NDCG@10 of events, (E,) float64, from candidates' scores less those of what came, (E, C)."""
    # Half an item for an equal one.
    ranks = 1 + (scores.shape[1] + scores.sign().sum(1)) / 2
    return event_metrics(ranks, [CUTOFF])[f"ndcg@{CUTOFF}"]


def weighed(weights: Tensor, differences: Tensor) -> Tensor:
    """Add up the parts: (E, C)."""
    return torch.tensordot(weights.float(), differences, 1)


def fit_weights(candidates: Candidates) -> Tensor:
    """Maximum likelihood of a softmax whose logits are weighted sums, all weights 0 or more.

    The problem is convex, and solved by Newton's method: each step solves its quadratic model under
    the bounds, one weight after the other, and is halved until the likelihood grows. A penalty of
    ``(weight - start) ** 2 / 2``, worth one event or so, decides where the events say nothing: then
    the first part, the ranker, is alone.

    :returns: (K,) float32 weights.
    """
    parts = candidates.differences
    unit = torch.eye(len(parts), dtype=torch.float64)
    origin = unit[0]

    def negative(weights: Tensor) -> tuple[float, Tensor]:
        logits = weighed(weights, parts) + candidates.corrections
        everything = torch.logaddexp(logits.logsumexp(1), logits.new_zeros(()))
        loss = everything.double().sum() + (weights - origin).square().sum() / 2
        return float(loss), (logits - everything[:, None]).exp_()

    weights = origin.clone()
    loss, chances = negative(weights)
    for _ in range(50):
        expected = (parts * chances).sum(2).double()
        slope = (expected.sum(1) + weights - origin).numpy()
        spread = (parts * chances.sqrt()).flatten(1)
        second = ((spread @ spread.T).double() - expected @ expected.T + unit).numpy()
        solved = weights.numpy().copy()
        for place in list(range(len(parts))) * 100:
            step = max(-solved[place], -slope[place] / second[place, place])
            solved[place] += step
            slope += second[:, place] * step
        reached = torch.from_numpy(solved)
        ahead, length = reached - weights, 1.0
        nearer, likely = negative(reached)
        while nearer > loss and length > 1e-3:
            length /= 2
            nearer, likely = negative(weights + length * ahead)
        if nearer >= loss:
            break
        done = loss - nearer < 1e-7 * abs(loss)
        weights, loss, chances = weights + length * ahead, nearer, likely
        if done:
            break
    return weights.float()


def search_weights(heads: Tensor, starts: Sequence[Tensor]) -> Tensor:
    """Search weights for NDCG@10, from the best of some starts: one part's share after the other.

    :param heads: (K, E, H), from :meth:`Candidates.heads`.
    :param starts: (K,) each.
    :returns: (K,) float32, their sum is 1.
    """
    # Where ten are before in all parts, no weights find what came.
    reachable = (heads.amin(0) > 0).sum(1) < CUTOFF
    heads = heads[:, reachable]

    def value(weights: Tensor) -> float:
        return float(gains(weighed(weights, heads)).sum())

    weights = max((start / start.sum().clamp_min(1e-6) for start in starts), key=value)
    best = value(weights)
    for _ in range(ROUNDS):
        before = best
        for place in range(len(weights)):
            rest = weights.clone()
            rest[place] = 0
            if not rest.any():
                continue
            rest /= rest.sum()
            others = weighed(rest, heads)
            for share in SHARES:
                gain = float(gains((1 - share) * others + share * heads[place]).sum())
                if gain > best:
                    best, weights = gain, rest * (1 - share)
                    weights[place] = share
        if best == before:
            break
    return weights


def choose_weights(
    candidates: Candidates, names: Sequence[str]
) -> tuple[dict[str, float], Choice, dict[str, float]]:
    """Choose weights by likelihood, searched for NDCG@10, or the mean of both.

    The mean, each with a sum of 1, is taken unless one of the two ranks better by more than one
    standard error, users being what is drawn. Searched weights are judged on users that took no
    part in the search; taken are their means over the folds. The sum of all weights is that of the
    likelihood's.

    Below :data:`FEW` events the settings of parts and the weights fit chance. Popularity, which has
    nothing to choose, is then taken alone unless the others beat it by :data:`CLEAR` standard
    errors.

    :param names: K, of the parts.
    :returns: weights by name, how they were chosen, and metrics: NDCG@10 of each part, and of each
        way to choose. Where something was seen before, also of each part with that alone, as
        ``EASE/met/ndcg@10``, and with ``discovered`` items alone.
    """
    heads, users = candidates.heads(), candidates.users
    likely, alone = fit_weights(candidates), torch.eye(len(names))
    if not len(users):
        return dict(zip(names, likely.tolist(), strict=True)), LIKELIHOOD, {}
    parts = torch.stack([gains(head) for head in heads])
    judged: dict[Choice, Tensor] = {LIKELIHOOD: gains(weighed(likely, heads))}
    weights: dict[Choice, Tensor] = {LIKELIHOOD: likely}
    folds = users % FOLDS
    chosen: Choice = LIKELIHOOD
    if len(folds.unique()) == FOLDS:
        searched, judged[SEARCH], judged[MEAN] = [], *parts.new_zeros(2, len(users))
        evened = likely / likely.sum().clamp_min(1e-6)
        for fold in range(FOLDS):
            judging = folds == fold
            best = alone[parts[:, ~judging].mean(1).argmax()]
            searched.append(search_weights(heads[:, ~judging], [likely, best]))
            judged[SEARCH][judging] = gains(weighed(searched[-1], heads[:, judging]))
            judged[MEAN][judging] = gains(weighed(searched[-1] + evened, heads[:, judging]))
        weights[SEARCH] = torch.stack(searched).mean(0)
        weights[MEAN], chosen = (weights[SEARCH] + evened) / 2, MEAN
    for other in judged:
        if ahead(judged[other] - judged[chosen], users) > 1:
            chosen = other
    if len(users) < FEW and (name := Popularity.__name__) in names:
        popular = names.index(name)
        lead = ahead(gains(weighed(weights[chosen], heads)) - parts[popular], users)
        if lead < CLEAR:
            chosen, weights[POPULARITY] = POPULARITY, alone[popular]
    taken = weights[chosen]
    if chosen != LIKELIHOOD:
        # No ranking depends on it.
        taken = taken * likely.sum().clamp_min(0.1)
    values = dict(zip(names, parts.mean(1).tolist(), strict=True))
    values |= {f"weights/{name}": float(value.mean()) for name, value in judged.items()}
    if (met := candidates.met) is not None and met.any():
        for part, rows in {"met": met, "discovered": ~met}.items():
            means = parts[:, rows].mean(1).tolist() if rows.any() else []
            values |= {f"{n}/{part}": mean for n, mean in zip(names, means, strict=False)}
    metrics = {f"{name}/ndcg@{CUTOFF}": value for name, value in values.items()}
    return dict(zip(names, taken.tolist(), strict=True)), chosen, metrics


def choice_in_words(chosen: Choice, metrics: Mapping[str, float]) -> str:
    """Say in words how weights were chosen, and what there was to choose from."""
    ways = {LIKELIHOOD: "by likelihood", SEARCH: "searched", MEAN: "the mean of both"}
    if chosen == POPULARITY:
        return f"popularity alone, which nothing beats clearly on fewer than {FEW} held-out events"
    keys = {f"weights/{way}/ndcg@{CUTOFF}": title for way, title in ways.items()}
    values = [f"{title} {metrics[key]:.4f}" for key, title in keys.items() if key in metrics]
    return f"{ways[chosen]} (validation NDCG@{CUTOFF}: {', '.join(values) or 'no events'})"
