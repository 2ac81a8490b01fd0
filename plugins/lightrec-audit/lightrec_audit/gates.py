"""Scores of histories whose events count in part, differentiable by how much each counts.

A gate of 1 leaves an event as it is, and one of 0 puts an average event in its place: the mean
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

from lightrec.data.sequences import last_events, with_only
from lightrec.keys import PADDING, Key
from lightrec.policies.base import session_start
from lightrec.policies.candidate import CandidatePolicy
from lightrec.policies.mixture import Mixture
from lightrec.ranking.blend import RANKER, Blend, log_shares
from lightrec.ranking.item_models.als import ALS
from lightrec.ranking.item_models.item_to_item import ItemToItem
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.scorers import ItemScorer, by_history
from lightrec.users.choice_model import ChoiceModel, PooledChoice

Gated: TypeAlias = Callable[[Tensor], Tensor]
"""From gates (S, L) to scores or vectors, (S, …)."""
LEFT_OUT: Final = 200
"""Last events that are left out, one at a time, of what has no gates."""
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

    def rows(self, table: Tensor) -> Gated:
        """A function from gates (S, L) to rows (S, L, D) of a table (at least N + 1, D)."""
        table = table.detach()
        mean, rows = self.average @ table[: len(self.average)], table[self.history]
        there = (self.history != PADDING)[..., None]
        return lambda gates: (mean + gates[..., None] * (rows - mean)) * there


@singledispatch
def gated(model: ItemScorer, past: Past) -> Gated:
    """Score all items by a history whose events count in part.

    Rankers, blends, lightrec's policies that learn, and item models that add up what the
    items of a history say have gates. Of any other model the score falls by what it falls without
    an event, times one less the event's gate.

    :returns: a function from gates (S, L) to scores (S, N + 1); with gates of 1, the model's own.
    """
    return by_leaving_out(by_history(model), past)


def by_leaving_out(compute: Callable[[Mapping[str, Tensor]], Tensor], past: Past) -> Gated:
    """Let what is computed of a history change in a straight line with each event.

    :param compute: from a batch of R histories to (R, D).
    """
    length = past.history.shape[1]
    kept = ~torch.eye(length, dtype=torch.bool)[-LEFT_OUT:]
    with torch.no_grad():
        whole = compute(past.details)
        lost = whole - compute(with_only(past.details, kept))
    lost = lost.where(lost.isfinite(), 0)
    return lambda gates: whole - (1 - gates[:, -len(lost) :]) @ lost


@gated.register
def _(model: Blend, past: Past) -> Gated:
    parts = {
        name: gated(model.ranker if name == RANKER else model.item_model(name), past)
        for name, weight in model.weights.items()
        if weight
    }

    def scores(gates: Tensor) -> Tensor:
        total = torch.zeros(())
        for name, part in parts.items():
            said = part(gates)
            said = said if name == RANKER else log_shares(said, model.smoothing)
            total = total + model.weights[name] * said
        return total

    return scores


@gated.register
def _(model: Mixture, past: Past) -> Gated:
    read = Past(model.read(past.details), past.average)
    ranked, length = gated(model.blend, read), read.history.shape[1]
    liked = by_leaving_out(lambda details: model.liked(details[Key.HISTORY]), past)
    return lambda gates: ranked(gates[:, -length:]) + model.weight * liked(gates)


@gated.register
def _(model: Ranker, past: Past) -> Gated:
    table = _computed_once(model, model.item_vectors)
    vectors = _user_vectors(model, table, past)

    def scores(gates: Tensor) -> Tensor:
        return model.scores(past.history, details={Key.USER_VECTOR: vectors(gates)}, items=table)

    return scores


def _user_vectors(model: Ranker, table: Tensor, past: Past) -> Gated:
    read = past.last(model.max_length)
    rows, length = read.rows(table), read.history.shape[1]
    return lambda gates: model.user_vectors(read.history, read.details, rows(gates[:, -length:]))


@gated.register
def _(model: ItemToItem, past: Past) -> Gated:
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
    return lambda gates: (gates * loud) @ rows + ((1 - gates) * loud).sum(1, keepdim=True) * mean


@gated.register
def _(model: ALS, past: Past) -> Gated:
    rows, first = past.rows(model.items), model.first(past.history)[..., None]
    return lambda gates: model.by_vectors(rows(gates) * first)


@gated.register
def _(model: CandidatePolicy, past: Past) -> Gated:
    table = _computed_once(model.ranker, model.ranker.item_vectors)
    # It reads neither feedback nor gaps.
    items = Past({Key.HISTORY: past.history}, past.average)
    parts = [_user_vectors(model.ranker, table, items.last(model.history_length))]
    if model.user_model is not None:
        parts.append(_tastes(model.user_model, past))

    def scores(gates: Tensor) -> Tensor:
        state = session_start(past.history.expand(len(gates), -1))
        vectors = torch.cat([part(gates) for part in parts], 1)
        return model.logits(state | {Key.USER_VECTOR: vectors})

    return scores


def _tastes(model: ChoiceModel, past: Past) -> Gated:
    read = past.last(model.history_length)
    length, missing = read.history.shape[1], model.history_length - read.history.shape[1]
    if not isinstance(model, PooledChoice):
        left_out = by_leaving_out(
            lambda details: model.tastes(model.state(details[Key.HISTORY]))[:, :-1], read
        )
        return lambda gates: left_out(gates[:, -length:])
    with torch.no_grad():
        rows = read.rows(model.past_items())

    def tastes(gates: Tensor) -> Tensor:
        padded = pad(rows(gates[:, -length:]), (0, 0, missing, 0))
        pools = torch.einsum("kl,bld->bkd", model.weights, padded)  # as its ``state`` has them
        return model.tastes(pools.flatten(1))[:, :-1]

    return tastes


def _computed_once(model: nn.Module, compute: Callable[[], Tensor]) -> Tensor:
    """The table of a model that learns no more, computed when it is first needed."""
    if (table := _tables.get(model)) is None:
        with torch.no_grad():
            table = _tables[model] = compute()
    return table
