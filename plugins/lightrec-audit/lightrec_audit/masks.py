"""Scores of histories whose events count in part, differentiable by how much each counts.

A mask of 1 leaves an event as it is, and one of 0 puts an average event in its place: the mean
row, over training events, of whatever table of items a model looks events up in. What attributes
scores to events, see :mod:`lightrec_audit.explain`, goes from the one to the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, Ranker
from lightrec.data.sequences import last_events, with_only
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture
from lightrec.ranking.blend import RANKER, Blend, log_shares
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.item_to_item import ItemToItem
from lightrec.ranking.scorers import ItemScorer, by_history
from lightrec.users.choice_model import ChoiceModel, PooledChoice

Masked: TypeAlias = Callable[[Tensor], Tensor]
"""From masks (S, L) to scores or vectors, (S, …)."""
LEFT_OUT: Final = 200
"""Last events that are left out, one at a time, of what has no masks."""
BLOCK: Final = 1 << 10
"""Items whose rows are looked up at once for their mean."""
_tables: WeakKeyDictionary[nn.Module, Tensor] = WeakKeyDictionary()


@dataclass(frozen=True)
class Past:
    """One person's events.

    :param details: ``Key.HISTORY`` (1, L), and what else models read of the events and the person.
    :param average: (N + 1,) float32, how often an event is about each item; sums to 1.
    """

    details: Mapping[str, Tensor]
    average: Tensor

    @property
    def history(self) -> Tensor:
        """(1, L) int64."""
        return self.details[Key.HISTORY]

    def last(self, length: int) -> "Past":
        """The last events alone."""
        return Past(last_events(self.details, length), self.average)

    def rows(self, table: Tensor) -> Masked:
        """A function from masks (S, L) to rows (S, L, D) of a table (at least N + 1, D)."""
        table = table.detach()
        mean, rows = self.average @ table[: len(self.average)], table[self.history]
        there = (self.history != PADDING)[..., None]
        return lambda masks: (mean + masks[..., None] * (rows - mean)) * there


@singledispatch
def masked(model: ItemScorer, past: Past) -> Masked:
    """Score all items by a history whose events count in part.

    Rankers, blends, lightrec's policies that learn, and item models that add up what the
    items of a history say have masks. Of any other model the score falls by what it falls without
    an event, times one less the event's mask.

    :returns: a function from masks (S, L) to scores (S, N + 1); with masks of 1, the model's own.
    """
    return by_leaving_out(by_history(model), past)


def by_leaving_out(compute: Callable[[Mapping[str, Tensor]], Tensor], past: Past) -> Masked:
    """Let what is computed of a history change in a straight line with each event.

    :param compute: from a batch of R histories to (R, D).
    """
    length = past.history.shape[1]
    kept = ~torch.eye(length, dtype=torch.bool)[-LEFT_OUT:]
    with torch.no_grad():
        whole = compute(past.details)
        lost = whole - compute(with_only(past.details, kept))
    lost = lost.where(lost.isfinite(), 0)
    return lambda masks: whole - (1 - masks[:, -len(lost) :]) @ lost


@masked.register
def _(model: Blend, past: Past) -> Masked:
    parts = {
        name: masked(model.ranker if name == RANKER else model.item_model(name), past)
        for name in model.parts
    }

    def scores(masks: Tensor) -> Tensor:
        said = {name: part(masks) for name, part in parts.items()}
        for name in said.keys() - {RANKER}:
            said[name] = log_shares(said[name], model.smoothing)
        total = sum((model.weights[name] * said[name] for name in said), torch.zeros(()))
        return model.again(total, said, past.history.expand(len(masks), -1))

    return scores


@masked.register
def _(model: Mixture, past: Past) -> Masked:
    read = Past(model.read(past.details), past.average)
    ranked, length = masked(model.blend, read), read.history.shape[1]
    liked = by_leaving_out(lambda details: model.liked(details[Key.HISTORY]), past)
    return lambda masks: ranked(masks[:, -length:]) + model.weight * liked(masks)


@masked.register
def _(model: Ranker, past: Past) -> Masked:
    table = _computed_once(model, model.item_vectors)
    vectors = _user_vectors(model, table, past)

    def scores(masks: Tensor) -> Tensor:
        return model.scores(past.history, details={Key.USER_VECTOR: vectors(masks)}, items=table)

    return scores


def _user_vectors(model: Ranker, table: Tensor, past: Past) -> Masked:
    read = past.last(model.max_length)
    rows, length = read.rows(table), read.history.shape[1]
    return lambda masks: model.user_vectors(read.history, read.details, rows(masks[:, -length:]))


@masked.register
def _(model: ItemToItem, past: Past) -> Masked:
    decay = 1.0 if model.decay is None else model.decay
    # A history of one event is its row.
    with torch.no_grad():
        rows = model.scores(past.history.T)

    def mean_row() -> Tensor:
        items = torch.arange(len(past.average))[:, None]
        blocks = zip(past.average.split(BLOCK), items.split(BLOCK), strict=True)
        return torch.stack([shares @ model.scores(some) for shares, some in blocks]).sum(0)

    mean = _computed_once(model, mean_row)
    ages = torch.arange(len(rows) - 1, -1, -1)
    loud = decay**ages * (past.history[0] != PADDING)
    return lambda masks: (masks * loud) @ rows + ((1 - masks) * loud).sum(1, keepdim=True) * mean


@masked.register
def _(model: ALS, past: Past) -> Masked:
    rows, first = past.rows(model.items), model.first(past.history)[..., None]
    return lambda masks: model.by_vectors(rows(masks) * first)


@masked.register
def _(model: CandidatePolicy, past: Past) -> Masked:
    table = _computed_once(model.ranker, model.ranker.item_vectors)
    # It reads neither feedback nor gaps.
    items = Past({Key.HISTORY: past.history}, past.average)
    parts = [_user_vectors(model.ranker, table, items.last(model.history_length))]
    if model.user_model is not None:
        parts.append(_tastes(model.user_model, past))

    def scores(masks: Tensor) -> Tensor:
        state = session_start(past.history.expand(len(masks), -1))
        vectors = torch.cat([part(masks) for part in parts], 1)
        return model.logits(state | {Key.USER_VECTOR: vectors})

    return scores


def _tastes(model: ChoiceModel, past: Past) -> Masked:
    read = past.last(model.history_length)
    length, missing = read.history.shape[1], model.history_length - read.history.shape[1]
    if not isinstance(model, PooledChoice):
        left_out = by_leaving_out(
            lambda details: model.tastes(model.state(details[Key.HISTORY]))[:, :-1], read
        )
        return lambda masks: left_out(masks[:, -length:])
    with torch.no_grad():
        rows = read.rows(model.past_items())

    def tastes(masks: Tensor) -> Tensor:
        padded = pad(rows(masks[:, -length:]), (0, 0, missing, 0))
        pools = torch.einsum("kl,bld->bkd", model.weights, padded)  # as its ``state`` has them
        return model.tastes(pools.flatten(1))[:, :-1]

    return tastes


def _computed_once(model: nn.Module, compute: Callable[[], Tensor]) -> Tensor:
    """The table of a model that learns no more, computed when it is first needed."""
    if (table := _tables.get(model)) is None:
        with torch.no_grad():
            table = _tables[model] = compute()
    return table
