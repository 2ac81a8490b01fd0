"""The stage `reinforced`: a trained generator moves to where rewards of its slates are higher.

Its data are histories of the log, and what slates after them are paid.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightrec.api import PADDING, DataError, Key, RecipeError, Reward, RewardContext, UserModel
from lightrec.blame import blaming
from lightrec.data.domain import LogMask
from lightrec.data.sequences import Batch, Sequences
from lightrec.data.share import RowSampler, present_share
from lightrec.data.store import TRAIN, EventStore, padded
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import items_at
from lightrec_generate.generator import Generator
from lightrec_generate.module import GeneratorData, GeneratorModule
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
        allowed = LogMask(self.store)(batch[Key.USER], batch[Key.END])
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


class ReinforcedModule(GeneratorModule):
    """Moves a trained generator by rewards of slates that it draws for histories of the log.

    For each history G slates are drawn by the generator's law over what may be shown. A slate's
    advantage A is its reward less the mean of the others' (Kool, van Hoof and Welling 2019, "Buy 4
    REINFORCE samples, get a baseline for free!"). What is made small is the mean of -A log π of the
    slates, whose gradient is that of REINFORCE, plus the divergence KL(π, π₀) of what is shown
    first from the generator as it was given, π₀. Divergence and probabilities are exact.

    The best epoch is the one with the highest mean reward of the best slates after validation
    events. Where none is above the beginning, the generator is left as it was given.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param group: slates G of a history, at least 2.
    :param anchor: weight of the divergence, in rewards a nat.
    :param inverse_temperature: a factor on log-probabilities; above 1 what is drawn, and learned
        by, is nearer to the best slates.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices and embeddings.
    :raises RecipeError: where a group has fewer than two slates to compare.
    """

    monitor: ClassVar[str] = "validation/reward"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        group: int = 16,
        anchor: float = 0.1,
        inverse_temperature: float = 1.0,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            num_items, vector_size, learning_rate=learning_rate, weight_decay=weight_decay
        )
        if group < 2:
            raise RecipeError(
                f"group is {group}, and the slates of a group are compared with each other: give 2 "
                "or more."
            )

    def setup(self, stage: str) -> None:
        """Take the trained generator, where no checkpoint has one."""
        if not hasattr(self, "generator"):
            self.generator = Generator.load(self._data.generator)

    @property
    def _data(self) -> ReinforcedData:
        return self.data_of(ReinforcedData)

    @cached_property
    def beginning(self) -> Generator:
        """The generator as it was given, frozen."""
        return Generator.load(self._data.generator).requires_grad_(False).to(self.device)

    def on_fit_start(self) -> None:
        """Load the beginning before anything is validated, which is done in inference mode."""
        assert self.beginning

    def on_train_epoch_start(self) -> None:
        """Drop nothing out: slates are to be drawn by the law that is learned."""
        self.generator.eval()

    def _law(self, generator: Generator, batch: Batch) -> PlackettLuce:
        scores = self.settings.inverse_temperature * generator.scores(batch[Key.HISTORY])
        return PlackettLuce(scores, self._data.may_be_shown(batch), self._data.slate_size)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Draw slates, and compute the loss."""
        law, size = self._law(self.generator, batch), len(batch[Key.TARGET])
        slates = law.sample((self.settings.group,))
        rewards = self._data.paid(batch, items_at(slates))
        self.log("train/reward", rewards.mean(), batch_size=size, on_step=False, on_epoch=True)
        with torch.no_grad():
            first = self._law(self.beginning, batch)
        moved = divergence(law.logits, first.logits).mean()
        gain = (leave_one_out(rewards) * law.log_prob(slates)).mean()
        self.log("train/divergence", moved, batch_size=size, on_step=False, on_epoch=True)
        return self.settings.anchor * moved - gain

    @torch.no_grad()
    def _reward_of_best(self, generator: Generator, batch: Batch) -> Tensor:
        """The rewards ``(B,)`` of the best slates after held-out events."""
        best = items_at(self._law(generator, batch).mode)
        (rewards,) = self._data.paid(batch, best.unsqueeze(0))
        return rewards

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Rank held-out events among all items, and pay for the best slates."""
        super().validation_step(batch, batch_index)
        part = "test" if self.trainer.testing else "validation"
        rewards = self._reward_of_best(self.generator, batch)
        self.log(f"{part}/reward", rewards.mean(), batch_size=len(rewards), sync_dist=True)

    test_step = validation_step

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Write the generator, or the one that was given where that is as good or better."""
        reached = {}
        for name, made in (("reward", self.generator), ("reward_at_first", self.beginning)):
            made.cpu().eval()
            paid = [self._reward_of_best(made, batch) for batch in self._data.val_dataloader()]
            reached[f"validation/{name}"] = float(torch.cat(paid).mean())
        if reached["validation/reward"] <= reached["validation/reward_at_first"]:
            self.generator = self.beginning
        return super().write(folder) | reached


def leave_one_out(rewards: Tensor) -> Tensor:
    """Rewards ``(G, B)`` less the mean of the others of their group."""
    return (rewards - rewards.mean(0)) * len(rewards) / (len(rewards) - 1)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p, q) of laws by their logits, (B, C) each; minus infinity for what is forbidden."""
    law, reference = logits.log_softmax(-1), others.log_softmax(-1)
    there = law > -torch.inf
    return (law.exp() * (law - reference).where(there, 0.0)).sum(-1)
