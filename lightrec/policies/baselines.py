"""Baselines, which learn nothing from rewards and which every learned policy must beat."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import Key
from lightrec.nn.session import State
from lightrec.policies.base import (
    RunParts,
    ScoredPolicy,
    TwoTowerPolicy,
    among_candidates,
    vectors_of,
    with_biases,
    without_nothing,
)
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.ranker import Ranker
from lightrec.users.user_model import UserModel

SCORED_AT_ONCE = 256
"""Users that are scored together."""
Scores: TypeAlias = Callable[[Tensor], Tensor]
"""From histories ``(B, L)`` to scores of all items ``(B, N + 1)``."""


class ScoringPolicy(ScoredPolicy):
    """Shows the items of highest score by a function, which is not saved with it.

    :param num_items: number of items N.
    :param scores: from histories ``(B, L)`` int64, padded on the left, N + 1 for declined slates,
        to scores ``(B, N + 1)``.
    """

    def __init__(self, num_items: int, scores: Scores) -> None:
        super().__init__(num_items)
        self.all_scores = scores

    @torch.no_grad()
    def user_vectors(self, history: Tensor) -> Tensor:
        """The scores themselves, ``(B, N + 1)``."""
        # A few users at a time: the function may need several tables of this size.
        return torch.cat([self.all_scores(rows) for rows in history.split(SCORED_AT_ONCE)])

    def logits(self, state: State) -> Tensor:
        """The scores of a state's columns."""
        return among_candidates(state, vectors_of(self, state))


class ConstantListPolicy(ScoredPolicy):
    """Shows the same list to everybody, in order, leaving out what may not be shown.

    :param num_items: number of items N.
    """

    appeal: Tensor
    """(N + 1,) float32: the list is ordered by it, highest first."""

    def __init__(self, num_items: int) -> None:
        super().__init__(num_items)
        self.register_buffer("appeal", torch.zeros(num_items + 1))

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Order items by how user model A's users accept them after their training events."""
        users, model = np.arange(run.data.num_users), run.users_a
        histories = run.data.histories(users, run.data.train_ends(), model.history_length)
        return cls.from_user_model(model, torch.from_numpy(histories), **settings)

    @classmethod
    @torch.no_grad()
    def from_user_model(cls, user_model: UserModel, history: Tensor) -> Self:
        """Order items by the mean probability with which users accept them, shown alone.

        :param history: ``(U, L)`` int64 histories of the users.
        """
        total = torch.zeros(user_model.num_items + 1, dtype=torch.float64, device=history.device)
        for rows in history[:, -user_model.history_length :].split(SCORED_AT_ONCE):
            total += user_model.scores(rows).sigmoid().double().sum(0)
        return cls.from_appeal(total / len(history))

    @classmethod
    def from_appeal(cls, appeal: Tensor) -> Self:
        """Order items by numbers ``(N + 1,)``, the highest first."""
        policy = cls(len(appeal) - 1)
        policy.appeal.copy_(appeal)
        return policy.to(appeal.device)

    def logits(self, state: State) -> Tensor:
        """The appeal of a state's columns."""
        return among_candidates(state, self.appeal.expand(*state[Key.STEP].shape[:-1], -1))


class PopularityPolicy(ConstantListPolicy):
    """Shows what was chosen most often in the training events.

    :param num_items: number of items N.
    """

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Count the training events, each for what its kind is worth to the goal."""
        return cls.from_appeal(Evidence.of(run.data).counts(), **settings)


class RandomPolicy(ScoredPolicy):
    """Shows items in random order, all slates being equally likely.

    :param num_items: number of items N.
    """

    always_drawn = True

    def logits(self, state: State) -> Tensor:
        """The same score to all columns of a state."""
        step = state[Key.STEP]
        zero = torch.zeros(self.num_items + 1, device=step.device)
        return among_candidates(state, zero.expand(*step.shape[:-1], -1))


class GreedyRankerPolicy(TwoTowerPolicy):
    """Shows the items that a ranker expects next.

    :param ranker: the ranker, of which the policy has a copy.
    :param history_length: how many of a history's last items are read; None leaves it to the
        ranker. Give a learned policy's own, for a comparison on equal terms.
    """

    history_length: int

    def __init__(self, ranker: Ranker, history_length: int | None = None) -> None:
        super().__init__(ranker.num_items)
        self.ranker = deepcopy(ranker).requires_grad_(False).eval()
        self.history_length = history_length or self.ranker.max_length

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Make the policy around the run's ranker."""
        return cls(run.ranker, **settings)

    @torch.no_grad()
    def user_vectors(self, history: Tensor) -> Tensor:
        """The ranker's user vectors ``(B, D)``."""
        history = without_nothing(history, self.num_items)[:, -self.history_length :]
        return self.ranker.user_vectors(history)

    def query(self, state: State) -> Tensor:
        """The ranker's user vector, and a one for the items' biases."""
        return pad(vectors_of(self, state), (0, 1), value=1.0)

    def item_table(self) -> Tensor:
        """The ranker's item vectors, and the items' biases."""
        return with_biases(self.ranker)

    def train(self, mode: bool = True) -> "GreedyRankerPolicy":
        """Stay as in evaluation: there is nothing to train."""
        return super().train(False)
