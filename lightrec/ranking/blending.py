"""From a trained ranker and item models to a blend, with nothing but training and validation."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from lightrec.data.store import VALIDATION
from lightrec.errors import NotApplicable
from lightrec.keys import Column, Key
from lightrec.progress import progress_bar
from lightrec.ranking.blend import RANKER, Blend, described_models, names_of
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, ItemModel, choose, combinations
from lightrec.ranking.item_models.text_map import PENALTIES, TextMap
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.scorers import ItemScorer, Scorer
from lightrec.ranking.sequence_data import SequenceData
from lightrec.ranking.sequence_transforms import Batch

JUDGED: Final = 2_000
"""So many validation events choose the settings of item models."""
COLUMNS: Final = 8_192
"""So many items stand for all others where the catalog is larger."""
FITTED: Final = 4_000
"""So many validation events decide the weights, a handful of numbers."""
FEATURES: Final = 1 << 26
"""At most so many logarithms are held, which may limit those events further."""
BLOCK: Final = 1 << 24
"""How many logits exist at once."""
BLENDING: Final = 4
"""So many steps of the progress bar follow the item models."""


def blend(
    ranker: Ranker, item_models: Sequence[ItemModel], data: SequenceData
) -> tuple[Blend, dict[str, float]]:
    """Choose the item models' settings, then the weights, both on validation events.

    An item model that the log is not of a kind for is left out, which is printed.

    :param ranker: trained; not changed.
    :param item_models: not changed.
    :returns: the blend, and metrics on validation events: its own, and the NDCG@10 of its parts.
    """
    evidence = Evidence.of(data.store, data.vectors)
    judged = validation_events(data, JUDGED)
    fitted: dict[str, ItemModel] = {}
    values: dict[str, float] = {}
    named = names_of(item_models)
    tried = sum(len(combinations(model.values(evidence))) for model in named.values())
    total = tried + BLENDING
    with progress_bar(total, "setting") as bar:

        def ndcg(model: ItemScorer) -> float:
            value = judge(scorer(model), judged)["ndcg@10"]
            bar.update()
            return value

        for name, model in named.items():
            bar.set_description(name)
            try:
                fitted[name], values[f"{name}/ndcg@10"] = choose(model, evidence, ndcg)
            except NotApplicable as reason:
                print(f"{name} is left out. {reason}", file=sys.stderr)
        bar.set_description("blend")
        mixed = Blend(ranker, fitted)
        values[f"{RANKER}/ndcg@10"] = ndcg(mixed)
        mixed.weights = weights_of(mixed, data)
        bar.update()
        mixed.l2 = choose_l2(mixed, judged, data)
        bar.update()
        values |= judge(scorer(mixed), validation_events(data, data.max_validated))
        bar.update(total - bar.n)
    return mixed, values


def refitted(
    ranker: Ranker, earlier: Path | str, data: SequenceData
) -> tuple[Blend, dict[str, float]]:
    """Fit anew what a blend was made of, with the settings chosen then, and choose its weights.

    Item models that had no weight are only described, as they were.

    :param ranker: trained; not changed.
    :param earlier: folder of the ranker stage whose settings are taken.
    :returns: as :func:`blend`.
    """
    evidence, before = Evidence.of(data.store, data.vectors), Blend.load(earlier)
    described = described_models(earlier)
    fitted: dict[str, ItemModel] = {}
    for name in before.item_models:
        try:
            fitted[name] = described[name].fit(evidence)
        except NotApplicable as reason:
            print(f"{name} is left out. {reason}", file=sys.stderr)
    mixed = Blend(ranker, fitted)
    # Histories are read once, for the weights and for the metrics.
    with torch.no_grad():
        batches = [
            {**batch, Key.USER_VECTOR: ranker.user_vectors(batch[Key.HISTORY], batch)}
            for batch in fitting_events(mixed, data)
        ]
    mixed.weights, mixed.l2 = weights_of(mixed, data, batches), before.l2
    mixed.item_models.update({name: m for name, m in described.items() if name not in fitted})
    return mixed, judge(scorer(mixed), batches)


@torch.no_grad()
def choose_l2(mixed: Blend, events: EvaluationEvents, data: SequenceData) -> float | None:
    """Choose the penalty with which texts foretell best what the blend says of warm items.

    Each warm item is scored as if it were cold, and the validation events are ranked by that. In a
    large catalog these are the popular items, which alone are regressed on.

    :returns: the penalty with the highest NDCG@10; None where items have no texts.
    """
    items = mixed.ranker.items
    if not items.uses_text or not items.vectors.any():
        return None
    counts = torch.from_numpy(data.store.popularity())
    texts = data.store.catalog[Column.TEXT].to_list()

    def ndcg(l2: float) -> float:
        mapped, scores = TextMap(items.vectors, texts, counts, l2), scorer(mixed)
        return judge(lambda batch: mapped.as_if_cold(scores(batch)), events)["ndcg@10"]

    return max(PENALTIES, key=ndcg)


def validation_events(data: SequenceData, limit: int | None) -> EvaluationEvents:
    """Validation events with whole histories, at most so many of them; None for all."""
    size = data.evaluation_batch_size
    return EvaluationEvents(data.histories, VALIDATION, None, size, limit, data.seed)


def scorer(part: ItemScorer) -> Scorer:
    """Make a scorer of batches of what scores histories."""
    return lambda batch: part.scores(batch[Key.HISTORY], batch[Key.USER], details=batch)


def judge(scores: Scorer, events: Iterable[Batch]) -> dict[str, float]:
    """Rank validation events: means of all metrics."""
    return evaluate_scores(scores, events).metrics()


def fitting_events(mixed: Blend, data: SequenceData) -> EvaluationEvents:
    """Give the validation events that decide a blend's weights."""
    held = (1 + len(mixed.item_models)) * min(data.num_items, COLUMNS)
    return validation_events(data, min(FITTED, max(1, FEATURES // held)))


@torch.no_grad()
def weights_of(
    mixed: Blend, data: SequenceData, batches: Iterable[Batch] | None = None
) -> dict[str, float]:
    """Choose the weights of the ranker and fitted item models, by name, on validation events.

    :param batches: those of :func:`fitting_events`, where they are there already.
    """
    names = [RANKER, *mixed.item_models]
    num_items, events = data.num_items, fitting_events(mixed, data)
    items = torch.arange(1, num_items + 1)
    if num_items > COLUMNS:
        generator = torch.Generator().manual_seed(data.seed)
        items = items[torch.randperm(num_items, generator=generator)[:COLUMNS]].sort().values
    count = len(events.events)
    others = torch.empty(len(names), count, len(items))
    own = torch.empty(len(names), count)
    blocked = torch.empty(count, len(items), dtype=torch.bool)
    places = torch.arange(count).split(events.batch_size)
    for rows, batch in zip(places, batches or events, strict=False):
        history, target = batch[Key.HISTORY], batch[Key.TARGET][:, None]
        for part, name in enumerate(names):
            logarithms = mixed.logarithms(name, history, batch)
            others[part, rows] = logarithms[:, items]
            own[part, rows] = logarithms.gather(1, target).squeeze(1)
        taken = torch.zeros(len(target), num_items + 1, dtype=torch.bool)
        taken.scatter_(1, batch[Key.SEEN], True)
        blocked[rows] = taken.scatter_(1, target, True)[:, items]
    start = torch.tensor([1.0] + [0.0] * (len(names) - 1))
    correction = torch.tensor(num_items / len(items)).log().item()
    found = fit_weights(others, blocked, own, start, correction)
    return heard(dict(zip(names, found.tolist(), strict=True)))


def heard(weights: Mapping[str, float]) -> dict[str, float]:
    """Set weights below 0.01 to 0: such scores need not be kept and computed.

    Where nothing is left, as in a log of chance alone, the ranker ranks alone.
    """
    left = {name: weight if weight >= 0.01 else 0.0 for name, weight in weights.items()}
    return left if any(left.values()) else left | {RANKER: 1.0}


def fit_weights(
    others: Tensor, blocked: Tensor, own: Tensor, start: Tensor, correction: float = 0.0
) -> Tensor:
    """Maximum likelihood of a softmax whose logits are weighted sums, all weights 0 or more.

    The problem is convex. A penalty of ``(weight - start) ** 2 / 2``, worth one event or so,
    decides where the events say nothing.

    :param others: (K, E, C) float32: logarithms of K parts for C items of E events.
    :param blocked: (E, C) bool: what takes no part, the events' own items among it.
    :param own: (K, E) float32: logarithms for the items that came.
    :param start: (K,) float32: the weights without evidence.
    :param correction: added to the others' logits, where they stand for more than themselves.
    :returns: (K,) float32 weights.
    """
    events = own.shape[1]
    if not events:
        return start.clone()
    step, origin = max(1, BLOCK // max(others.shape[2], 1)), start.double().numpy()

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = torch.from_numpy(weights).float()
        total, slope = 0.0, torch.zeros(len(w), dtype=torch.float64)
        for begin in range(0, events, step):
            rows = slice(begin, begin + step)
            part = others[:, rows]
            logits = torch.einsum("k,kec->ec", w, part) + correction
            logits = logits.masked_fill(blocked[rows], -torch.inf)
            mine = w @ own[:, rows]
            everything = torch.logaddexp(logits.logsumexp(1), mine)
            chance = (logits - everything[:, None]).exp()
            total += float((everything - mine).double().sum())
            expected = torch.einsum("ec,kec->ke", chance, part)
            expected += (mine - everything).exp() * own[:, rows]
            # Event by event, and in double precision only then: both sums are large, nearly alike.
            slope += (expected - own[:, rows]).double().sum(1)
        off = weights - origin
        return (total + float(off @ off) / 2) / events, (slope.numpy() + off) / events

    bounds, options = [(0, None)] * len(start), {"maxiter": 200}
    found = minimize(loss, origin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return torch.from_numpy(np.asarray(found.x)).float()
