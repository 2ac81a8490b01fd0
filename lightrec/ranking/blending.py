"""From a trained ranker and item models to a blend, with nothing but training and validation."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lightrec.blame import provider
from lightrec.data.domain import LogMask
from lightrec.data.sequences import Batch
from lightrec.data.store import VALIDATION
from lightrec.errors import NotApplicable, PluginError, RunError
from lightrec.keys import PADDING, Column, Key
from lightrec.memory import give_back
from lightrec.progress import progress_bar
from lightrec.ranking.blend import COPIES, RANKER, Blend, described_models, names_of, pieces
from lightrec.ranking.blend_weights import ABSENT, Candidates, choice_in_words, choose_weights
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.item_models.base import Evidence, ItemModel, choose, combinations
from lightrec.ranking.item_models.text_map import choose_map
from lightrec.ranking.metrics import evaluate_scores
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.reranker import Reranker
from lightrec.ranking.scorers import ItemScorer, Scorer, by_history
from lightrec.ranking.sequence_data import SequenceData

JUDGED: Final = 2_000
"""Validation events that choose the settings of item models, and that judge an update."""
FITTED: Final = 4_000
"""Validation events that decide the weights, a handful of numbers."""
RERANKED: Final = 10_000
"""Validation events that teach a re-ranker, and by which the blend is judged."""
HEAD: Final = 32
"""The items that each part puts first are compared with the one that came."""
SAMPLE: Final = 1_024
"""Items that stand for all others."""
TRIMMED: Final = 16
"""Pieces of batches after which freed memory goes back: the small tables that are kept of each lie
between the large ones that were freed."""


def blend(
    ranker: Ranker, item_models: Sequence[ItemModel], data: SequenceData
) -> tuple[Blend, dict[str, float]]:
    """Choose the item models' settings, then the weights, both on validation events.

    An item model that the log is not of a kind for is left out, which is printed.

    :param ranker: trained; not changed.
    :param item_models: not changed.
    :returns: the blend, and metrics on validation events: its own, and NDCG@10 of its parts and of
        the weights that were to choose from.
    """
    evidence = Evidence.from_log(data.training, data.store, data.vectors)
    judged = validation_events(data, JUDGED)
    fitted = chosen(names_of(item_models), evidence, judged)
    mixed = Blend(ranker, fitted)
    deciding = validation_events(data, FITTED)
    compared = replace(candidates(mixed, data, deciding), met=deciding.met)
    mixed.weights, mixed.chosen, metrics = choose_weights(compared, [RANKER, *fitted])
    mixed.weights = pruned(mixed.weights)
    metrics |= look_again(mixed, data)
    items, scores = ranker.items, by_history(mixed)
    if items.uses_text and items.vectors.any():
        texts = data.store.catalog[Column.TEXT].to_list()
        counts = torch.from_numpy(data.store.popularity())
        scored = (
            (scores(batch), batch[Key.TARGET], batch[Key.SEEN], batch[Key.HISTORY])
            for batch in divided(judged, COPIES * data.num_items)
        )
        mixed.l2, mixed.text_weights = choose_map(items.vectors, texts, counts, scored, data.seed)
    print(f"The blend's weights: {choice_in_words(mixed.chosen, metrics)}", file=sys.stderr)
    return mixed, metrics


@torch.no_grad()
def look_again(mixed: Blend, data: SequenceData) -> dict[str, float]:
    """Give a blend a re-ranker, where that ranks validation events better.

    :returns: metrics on validation events.
    """
    reranker = Reranker(mixed.parts, data.store.repeats)

    def scored() -> Iterator[tuple[Batch, Tensor, Tensor]]:
        size = 2 * len(reranker.parts) * data.num_items
        for batch in divided(validation_events(data, RERANKED), size):
            total, parts = mixed.summed(batch[Key.HISTORY], batch)
            yield batch, total, torch.stack([parts[name] for name in reranker.parts])

    better, metrics = reranker.choose(scored(), data.seed)
    if better:
        mixed.reranker = reranker
    return metrics


def chosen(
    named: Mapping[str, ItemModel], evidence: Evidence, judged: EvaluationEvents
) -> dict[str, ItemModel]:
    """Fit item models with those of their settings that rank some validation events best.

    One that the log is not of a kind for is left out, which is printed.
    """
    fitted: dict[str, ItemModel] = {}
    total = sum(len(combinations(model.values(evidence))) for model in named.values())
    with progress_bar(total, "setting") as bar:

        def ndcg(model: ItemScorer) -> float:
            try:
                value = judge(by_history(model), judged)["ndcg@10"]
            except RunError as error:
                raise PluginError(f"`scores` of {provider(model)}: {error}") from error
            bar.update()
            return value

        for name, model in named.items():
            bar.set_description(name)
            try:
                fitted[name], _ = choose(model, evidence, ndcg)
            except NotApplicable as reason:
                print(f"{name} is left out. {reason}", file=sys.stderr)
            give_back()
        bar.set_description("item models")
        bar.update(total - bar.n)
    return fitted


def refitted(
    ranker: Ranker, earlier: Path | str, data: SequenceData
) -> tuple[Blend, dict[str, float]]:
    """Fit again what a blend was made of, with the settings and the weights chosen then.

    Item models that had no weight are only described, as they were.

    :param ranker: trained; not changed.
    :param earlier: folder of the ranker stage whose settings are taken.
    :returns: as :func:`blend`.
    """
    evidence = Evidence.from_log(data.training, data.store, data.vectors)
    before = Blend.load(earlier)
    described = described_models(earlier)
    fitted: dict[str, ItemModel] = {}
    for name in before.item_models:
        try:
            fitted[name] = described[name].fit(evidence)
        except NotApplicable as reason:
            print(f"{name} is left out. {reason}", file=sys.stderr)
    mixed = Blend(ranker, fitted)
    mixed.l2, mixed.text_weights = before.l2, before.text_weights
    mixed.chosen = before.chosen
    events = validation_events(data, JUDGED)
    mixed.weights = pruned({name: before.weights[name] for name in (RANKER, *fitted)})
    if before.reranker is not None and {*before.reranker.parts} <= {*mixed.weights}:
        mixed.reranker = before.reranker
    mixed.item_models.update({name: m for name, m in described.items() if name not in fitted})
    return mixed, judge(by_history(mixed), events) if len(events) else {}


def validation_events(data: SequenceData, limit: int | None) -> EvaluationEvents:
    """Validation events with whole histories, at most so many of them; None for all.

    What a domain forbids is left out, as it is in lists: nobody has to outrank it.
    """
    size, allowed = data.evaluation_batch_size, LogMask(data.store)
    return EvaluationEvents(
        data.histories, VALIDATION, None, size, limit, data.seed, showable=allowed
    )


def divided(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Divide batches whose events need so many values each into smaller ones."""
    number = 0
    for batch in batches:
        for rows in pieces(len(batch[Key.TARGET]), size):
            yield {name: table[rows] for name, table in batch.items()}
            if (number := number + 1) % TRIMMED == 0:
                give_back()


def judge(scores: Scorer, events: Iterable[Batch]) -> dict[str, float]:
    """Rank validation events: means of all metrics."""
    return evaluate_scores(scores, events).metrics()


@torch.no_grad()
def candidates(mixed: Blend, data: SequenceData, batches: Iterable[Batch]) -> Candidates:
    """Collect what the ranker and fitted item models say at validation events.

    Of a large catalog, what each part puts first, and a sample of all other items.
    """
    names, count = [RANKER, *mixed.item_models], data.num_items
    generator = torch.Generator().manual_seed(data.seed)
    drawn = count if count <= 2 * SAMPLE else SAMPLE
    sample = torch.randperm(count, generator=generator)[:drawn].sort().values + 1
    first = len(names) * min(HEAD, count)
    size = first + drawn
    blocks = [(torch.zeros(len(names), 0, size), torch.zeros(0, size), torch.zeros(0).long())]
    # They exist twice for a moment.
    for batch in divided(batches, 2 * len(names) * count):
        target = batch[Key.TARGET][:, None]
        parts = torch.stack([mixed.logarithms(name, batch[Key.HISTORY], batch) for name in names])
        parts -= parts.gather(2, target.expand(len(names), -1, -1))
        rest = torch.ones(parts.shape[1:], dtype=torch.bool)
        rest.scatter_(1, batch[Key.SEEN], False).scatter_(1, target, False)
        rest[:, PADDING] = False
        top = parts.where(rest, -torch.inf).topk(first // len(names), dim=2).indices
        top = top.transpose(0, 1).flatten(1).sort(dim=1).values
        held = rest.gather(1, top)
        held[:, 1:] &= top[:, 1:] != top[:, :-1]
        rest.scatter_(1, top, False)
        others = rest[:, sample]
        each = rest.sum(1, keepdim=True) / others.sum(1, keepdim=True).clamp_min(1)
        stands = torch.cat([torch.zeros(top.shape), each.log().expand(others.shape)], 1)
        held = torch.cat([held, others], 1)
        places = torch.cat([top, sample.expand(len(target), -1)], 1)
        differences = parts.gather(2, places.expand(len(names), -1, -1)).where(held, ABSENT)
        blocks.append((differences, stands.where(held, -torch.inf), batch[Key.USER]))
    pieces = [torch.cat(kind, -2 if kind[0].ndim > 1 else 0) for kind in zip(*blocks, strict=True)]
    return Candidates(pieces[0], pieces[1], first, pieces[2])


def pruned(weights: Mapping[str, float]) -> dict[str, float]:
    """Set weights below 0.01 of all to 0: such scores need not be kept and computed.

    Where nothing is left, as in a log of chance alone, the ranker ranks alone.
    """
    least = 0.01 * sum(weights.values())
    left = {name: weight if weight >= least else 0.0 for name, weight in weights.items()}
    return left if any(left.values()) else left | {RANKER: 1.0}
