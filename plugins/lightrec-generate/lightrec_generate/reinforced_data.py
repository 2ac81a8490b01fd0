"""The data of the stage `reinforced`: histories of the log, and what slates after them are paid."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightrec.api import PADDING, DataError, Key, Reward, RewardContext, UserModel
from lightrec.blame import blaming
from lightrec.data.domain import showable
from lightrec.data.sequences import Batch, Sequences
from lightrec.data.share import RowSampler, present_share
from lightrec.data.store import TRAIN, EventStore, padded
from lightrec_generate.module import GeneratorData
from lightrec_generate.rewards import GainReward

Rows = NDArray[np.int64]


class LoggedEvents(Dataset[Batch]):
    """The events of a part that have a history, taken by their numbers.

    :param store: the prepared log.
    :param part: TRAIN, VALIDATION or TEST.
    :param max_length: how many events a history holds, the last ones.
    """

    def __init__(self, store: EventStore, part: int, max_length: int) -> None:
        self.sequences, self.max_length = Sequences.all_events(store), max_length
        targets = Sequences.targets(store, part)
        events = store.events(part)
        chosen = np.asarray(store.items)[events] <= store.num_items
        values = np.asarray(store.strengths)[events[chosen & store.reaches[events]]]
        later = targets.ends > self.sequences.offsets[targets.users]
        self.targets, self.values = targets.only(later), values[later]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Batch:
        """Events: history (B, L), target, its value, user and end (B,) each, seen (B, S)."""
        ends, users = self.targets.ends[rows], self.targets.users[rows]
        begin, items = self.sequences.offsets[users], self.sequences.items
        tables = {
            Key.HISTORY: padded(items, np.maximum(begin, ends - self.max_length), ends),
            Key.TARGET: self.targets.items[rows].astype(np.int64),
            Key.VALUE: self.values[rows],
            Key.SEEN: self.sequences.known(begin, ends),
            Key.USER: users,
            Key.END: ends,
        }
        return {name: torch.from_numpy(table) for name, table in tables.items()}


class ReinforcedData(GeneratorData):
    """Histories of a prepared log, the trained generator, and what its slates are paid by.

    In a transition that a reward sees, the item that came next was taken, where the slate has it,
    and its value is the event's.

    :param data: folder of the prepared log.
    :param identifiers: folder of the stage `identifiers`.
    :param generator: folder of the stage `generator`.
    :param reward: what a slate is paid by; null for GainReward, the DCG of the item that came next.
    :param users_a: folder of user model A, for rewards that go by one, such as LearnedReward.
    :param slate_size: items of a slate.
    :param batches: batches of an epoch.
    :param settings: of :class:`~lightrec_generate.module.GeneratorData`.
    """

    generator: str

    def __init__(
        self,
        data: str,
        identifiers: str,
        generator: str,
        reward: Reward | None = None,
        users_a: str | None = None,
        slate_size: int = 10,
        batches: int = 50,
        **settings: Any,
    ) -> None:
        super().__init__(data, identifiers, generator, **settings)
        self.users_a = users_a
        self.given = reward or GainReward()
        self.slate_size, self.batches = slate_size, batches

    @cached_property
    def reward(self) -> Reward:
        """The reward, bound to the log and, where there is one, to user model A."""
        reward = deepcopy(self.given)
        users = None if self.users_a is None else UserModel.load(self.users_a)
        with blaming(reward, "be bound to the log"):
            reward.bind(RewardContext(users, self.store))
        return reward

    def may_be_shown(self, batch: Batch) -> Tensor:
        """The items that may be shown after histories, ``(B, N + 1)`` bool: nothing seen before."""
        mask = torch.ones(len(batch[Key.TARGET]), self.num_items + 1, dtype=torch.bool)
        mask = mask.to(batch[Key.SEEN].device).scatter(1, batch[Key.SEEN], False)
        mask[:, PADDING] = False
        allowed = showable(self.store)(batch[Key.USER], batch[Key.END])
        return mask if allowed is None else mask & allowed

    @torch.no_grad()
    def paid(self, batch: Batch, slates: Tensor) -> Tensor:
        """The rewards ``(G, B)`` of slates ``(G, B, K)`` of items after histories."""
        taken = slates == batch[Key.TARGET].unsqueeze(1)
        columns = {
            Key.ACTION: slates,
            Key.TAKEN: taken,
            Key.VALUE: batch[Key.VALUE].unsqueeze(1) * taken,
        }
        for name in (Key.HISTORY, Key.USER):
            columns[name] = batch[name].expand(len(slates), *batch[name].shape)
        transitions = TensorDict(columns, batch_size=slates.shape[:2]).flatten()
        rewards: Tensor = self.reward.to(slates.device)(transitions)
        return rewards.view(slates.shape[:2])

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training events of users drawn evenly.

        :raises DataError: where no user has two training events.
        """
        events = LoggedEvents(self.store, TRAIN, self.max_length)
        if not len(events):
            raise DataError(
                "No user has two training events, so that there is no history to draw slates for. "
                "Lower minimum_value or k_core, or give a longer log.",
                source=self.data,
            )
        targets, count = events.targets, self.batches * self.windows_in_batch
        _, first, counts = np.unique(targets.users, return_index=True, return_counts=True)
        lengths = targets.ends - events.sequences.offsets[targets.users]

        def drawn(generator: np.random.Generator) -> tuple[Rows, Rows]:
            users = generator.integers(len(first), size=count)
            rows = first[users] + generator.integers(counts[users])
            return rows, lengths[rows]

        sampler = RowSampler(drawn, count, self.windows_in_batch, self.seed)
        # A generator of its own, as in SequenceData.
        return DataLoader(events, batch_size=None, sampler=sampler, generator=torch.Generator())

    def _evaluation(self, part: int, limit: int | None) -> DataLoader[Batch]:
        events, share = LoggedEvents(self.store, part, self.max_length), present_share()
        share.check(len(events), "held-out events")
        rows = np.random.default_rng(self.seed).permutation(len(events))[:limit][share.rows]
        batches: Sequence[Rows] = np.array_split(rows, -(-len(rows) // self.evaluation_batch_size))
        return DataLoader(events, batch_size=None, sampler=batches)
