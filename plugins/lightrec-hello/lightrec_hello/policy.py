"""What is shown, and learns from what comes of it."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from lightrec.api import (
    LearnedPolicy,
    RunParts,
    State,
    TwoTowerPolicy,
    vectors_of,
    with_biases,
    with_progress,
    without_nothing,
)


class HelloPolicy(TwoTowerPolicy, LearnedPolicy):
    """Scores items by a learned map of the mean vector of the last items taken.

    :param num_items: number of items N.
    :param vector_size: length D of the item vectors.
    :param history_length: how many of a history's last items are read.
    """

    history_length: int
    vectors: Tensor
    """(N + 1, D) float32."""

    def __init__(self, num_items: int, vector_size: int, history_length: int = 10) -> None:
        super().__init__(num_items)
        self.vector_size, self.history_length = vector_size, history_length
        self.feature_size = vector_size + 2
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        self.network = nn.Linear(self.feature_size, vector_size)

    @classmethod
    def from_run(cls, run: RunParts, **settings: Any) -> Self:
        """Take the item vectors of the run's ranker."""
        vectors = with_biases(run.ranker).detach()
        policy = cls(len(vectors) - 1, vectors.shape[1], **settings)
        policy.vectors[1:] = vectors[1:]
        return policy

    def user_vectors(self, history: Tensor) -> Tensor:
        """The mean vector (B, D) of the last items of histories (B, L)."""
        items = without_nothing(history, self.num_items)[:, -self.history_length :]
        return self.vectors[items].sum(1) / (items > 0).sum(1, keepdim=True).clamp_min(1)

    def session_features(self, state: State) -> Tensor:
        """The user vector, time, and success so far: (..., D + 2)."""
        return with_progress(vectors_of(self, state), state, horizon=40)

    def query(self, state: State) -> Tensor:
        """What the items' vectors are multiplied with, (..., D)."""
        query: Tensor = self.network(self.session_features(state))
        return query

    def item_table(self) -> Tensor:
        """The item vectors, (N + 1, D)."""
        return self.vectors
