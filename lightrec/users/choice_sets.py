"""Choices as batches, from logs with impressions and without.

Without impressions, sets are an assumption: the choice stood among items drawn evenly from those
that the user had not seen, and from other such sets, at a given rate, nothing was chosen.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lightrec.data.domain import LogMask
from lightrec.data.share import EpochSampler, Share
from lightrec.data.store import EventStore
from lightrec.keys import PADDING, Key

Batch: TypeAlias = dict[str, Tensor]
Integers: TypeAlias = NDArray[np.int64]
Request: TypeAlias = tuple[tuple[int, ...], Integers]
"""Seeds of the draws, and positions (B,) of events in the store."""


class ChoiceSets(Dataset[Batch]):
    """Batches of choices: history (B, L), candidates (R, C), choice, weight and user (R,).

    ``choice`` is the slot taken, or C for nothing. R is B where the log records that nothing was
    chosen. Otherwise R is 2 · B: the sets chosen from and then, of weight ``nothing_odds``, as many
    sets declined in the same states.

    :param store: the log.
    :param history_length: L.
    :param candidates: C where the log has no sets.
    :param nothing_odds: of choosing nothing; used only where the log does not record it.
    :param forget: the probability that a step is left out of a history of a shuffled batch.
    """

    ROUNDS = 100
    """At most so many draws of a set; then places stay padding."""

    def __init__(
        self,
        store: EventStore,
        history_length: int,
        candidates: int,
        nothing_odds: float,
        forget: float = 0.0,
    ) -> None:
        self.store = store
        self.history_length = history_length
        self.candidates = candidates
        self.nothing_odds, self.forget = nothing_odds, forget
        if store.candidates is not None:
            self.offered = np.flatnonzero(np.asarray(store.candidates[:, 0]) != PADDING)
            return
        self.allowed = LogMask(store, recorded=True)
        # Whatever its part, an event makes its item seen; of equal keys the first one.
        self.stride = store.num_items + 2
        users = np.repeat(np.arange(store.num_users), np.diff(store.offsets))
        keys = users * self.stride + store.seen
        self.keys, self.first = np.unique(keys, return_index=True)

    def __getitem__(self, request: Request) -> Batch:
        """The batch of some events."""
        seeds, events = request
        generator = np.random.default_rng(seeds)
        store = self.store
        users = store.users_of(events)
        history = store.histories(users, events, self.history_length)
        taken = np.asarray(store.items)[events].astype(np.int64)
        sets = self.offers(users, events, generator, taken)
        number = sets.shape[1]
        slot = np.where(taken > store.num_items, number, (sets == taken[:, None]).argmax(1))
        weight = np.ones(len(events), np.float32)
        # A generator of its own, so that the sets themselves are the same without it.
        if self.forget and seeds[1:2] == (1,):
            drawn = np.random.default_rng((*seeds, 1)).random(history.shape)
            kept = np.where(drawn < self.forget, PADDING, history)
            order = np.argsort(kept != PADDING, axis=1, kind="stable")
            history = np.take_along_axis(kept, order, 1)  # what is left moves up
        if not store.has_nothing and self.nothing_odds > 0:
            sets = np.concatenate([sets, self.declined(users, events, generator)])
            slot = np.concatenate([slot, np.full(len(events), number)])
            weight = np.concatenate([weight, np.float32(self.nothing_odds) * weight])
        arrays = {
            Key.USER: np.tile(users, len(slot) // max(len(users), 1)),
            Key.HISTORY: history,
            Key.CANDIDATES: sets,
            Key.CHOICE: slot,
            Key.WEIGHT: weight,
        }
        return {key: torch.from_numpy(x) for key, x in arrays.items()}

    def declined(
        self, users: Integers, events: Integers, generator: np.random.Generator
    ) -> Integers:
        """Sets of which nothing was chosen (B, C): of other events, or drawn."""
        if self.store.candidates is not None:
            events = generator.choice(self.offered, len(events))
        return self.offers(users, events, generator)

    def offers(
        self,
        users: Integers,
        events: Integers,
        generator: np.random.Generator,
        taken: Integers | int = PADDING,
    ) -> Integers:
        """The logged sets (B, C) of events; else what was taken (B,), if any, and drawn items.

        They are different items, each drawn evenly from those that may be shown to the user and,
        unless items repeat, that the user had not seen before the event.
        """
        if self.store.candidates is not None:
            logged = self.store.candidates[np.minimum(events, len(self.store) - 1)]
            return np.asarray(logged).astype(np.int64)
        sets = np.zeros((len(events), self.candidates), np.int64)
        sets[:, 0] = taken
        free = sets == PADDING
        allowed = self.allowed(torch.from_numpy(users), torch.from_numpy(events))
        for _ in range(self.ROUNDS):
            row, column = np.nonzero(free & (sets == PADDING))
            if not len(row):
                break
            drawn = generator.integers(1, self.store.num_items + 1, len(row))
            keys = users[row] * self.stride + drawn
            place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            drawn[(self.keys[place] == keys) & (self.first[place] < events[row])] = PADDING
            if allowed is not None:
                drawn[~allowed.numpy()[row, drawn]] = PADDING
            sets[row, column] = drawn
            # What equals an entry to the left of it is drawn again; padding does not count.
            same = (sets[:, :, None] == sets[:, None]) & (sets != PADDING)[:, :, None]
            sets[np.tril(same, -1).any(2) & free] = PADDING
        return sets


def own_rows(batch: Batch, share: Share) -> Batch:
    """Take a process's rows out of a batch, whose columns (M · B, ...) are M blocks of B rows."""
    each = {key: x.unflatten(0, (-1, len(batch[Key.HISTORY]))) for key, x in batch.items()}
    return {key: x[:, share.rows].flatten(0, 1) for key, x in each.items()}


class EventBatches(EpochSampler[Request]):
    """Batches of events in an order, and with draws, that follow from seed and epoch alone.

    :param events: positions in the store.
    :param shuffle: a new order and new draws each epoch; otherwise the same each time.
    :param limit: at most so many events an epoch, drawn from all; None for all.
    :param share: of a process among several, which :func:`own_rows` gives its rows of every batch.
    """

    def __init__(
        self,
        events: Integers,
        batch_size: int,
        seed: int,
        *,
        shuffle: bool,
        limit: int | None,
        share: Share = Share(0, 1),  # noqa: B008 (a constant)
    ) -> None:
        super().__init__(seed)
        self.events, self.batch_size = events, batch_size
        self.shuffle, self.share = shuffle, share
        self.limit = len(events) if limit is None else min(limit, len(events))

    def __len__(self) -> int:
        return self.share.batches(self.limit, self.batch_size)

    def __iter__(self) -> Iterator[Request]:
        epoch = self.epoch if self.shuffle else 0
        events = self.events
        if self.shuffle or self.limit < len(events):
            order = np.random.default_rng((self.seed, epoch)).permutation(len(events))
            events = events[order[: self.limit]]
        for number in range(len(self)):
            # The last batch takes the rows that are too few for a batch of all processes.
            end = None if number == len(self) - 1 else (number + 1) * self.batch_size
            rows, seeds = events[number * self.batch_size : end], (self.seed, int(self.shuffle))
            yield (*seeds, epoch, number), rows
