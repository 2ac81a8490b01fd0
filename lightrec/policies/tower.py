"""The policy of two towers: what is seen of a session against what is seen of items."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.keys import PADDING, Key
from lightrec.nn.session import SessionFeatures
from lightrec.policies.base import LearnedPolicy, told, vectors_of


class TowerPolicy(LearnedPolicy):
    """Scores items by query · (item vector, learned item vector), a query for each session.

    The query is made from the session's features by a small network whose last layer begins at
    zero, so that all items score the same at first. The item vectors as they are stand in the score
    beside what a second network makes of them: the first learn fast, the second learns what is not
    linear in them. Nothing is learned for single items: one that was never shown in training is
    scored from its vector.

    :param num_items: number of items N.
    :param vector_size: length D of the item vectors, which :meth:`set_items` fills in.
    :param observation_size: length of the observations that a simulator gives; 0 for none.
    :param history_length: how many of a history's last steps are read.
    :param pools: number P of sums over these steps, with weights that fade by half within from one
        step to the whole history; 0 reads no history.
    :param size: width of the learned item vectors; 0 for none.
    :param hidden: widths of the query's hidden layers.
    :param item_hidden: width of the hidden layer of the learned item vectors.
    :param horizon: steps after which the step counts as 1.
    """

    vectors: Tensor
    """(N + 2, D + 1) float32: centred and scaled vectors; zeros for padding, and for choosing
    nothing a one in the last column."""
    weights: Tensor
    """(P, L) float32: of a history's steps in the sums."""

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        observation_size: int = 0,
        history_length: int = 20,
        pools: int = 0,
        size: int = 16,
        hidden: Sequence[int] = (128,),
        item_hidden: int = 64,
        horizon: int = 40,
    ) -> None:
        super().__init__(num_items)
        self.vector_size = vector_size
        self.history_length, self.horizon = history_length, horizon
        self.seen = SessionFeatures(0, horizon, pools * (vector_size + 1) + observation_size)
        self.feature_size = self.seen.size
        self.observation_size = observation_size
        if observation_size:
            self.reads = (*self.reads, Key.OBSERVATION)
        self.register_buffer("vectors", torch.zeros(num_items + 2, vector_size + 1))
        age = torch.arange(history_length - 1, -1, -1)
        half_lives = torch.logspace(0, torch.log2(torch.tensor(history_length)), pools, base=2)
        weights = 0.5 ** (age / half_lives.unsqueeze(1))
        self.register_buffer("weights", weights / weights.sum(1, keepdim=True).sqrt())
        sizes = [self.feature_size, *hidden]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(sizes):
            layers += [nn.Linear(narrow, wide), nn.GELU()]
        last = nn.Linear(sizes[-1], vector_size + size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.query = nn.Sequential(*layers, last)
        self.items: nn.Module | None = None
        if size:
            self.items = nn.Sequential(
                nn.Linear(vector_size, item_hidden), nn.GELU(), nn.Linear(item_hidden, size)
            )

    def set_items(self, vectors: Tensor) -> "TowerPolicy":
        """Fill the item table; every column is centred and brought to unit variance.

        :param vectors: (N + 1, D) float32; row 0 is ignored.
        """
        items = vectors[1:].to(self.vectors)
        items = (items - items.mean(0)) / items.std(0, correction=0).clamp_min(1e-6)
        self.vectors.zero_()
        self.vectors[1:-1, :-1] = items
        self.vectors[-1, -1] = 1
        return self

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the sums over histories, ``(B, P · (D + 1))``."""
        pools = len(self.weights)
        if not pools:
            return torch.zeros(len(history), 0, device=history.device)
        recent = history[:, -self.history_length :]
        recent = pad(recent, (self.history_length - recent.shape[1], 0))
        return torch.einsum("pl,bla->bpa", self.weights, embedding(recent, self.vectors)).flatten(1)

    def item_table(self) -> Tensor:
        """Give what scores are made of, ``(N + 1, D + size)``; row 0 counts for nothing."""
        vectors = self.vectors[:-1, :-1]
        return vectors if self.items is None else torch.cat([vectors, self.items(vectors)], 1)

    def session_features(self, state: TensorDictBase) -> Tensor:
        """Give the sums over the history, the observation, time, and success so far.

        Where an observation is not told, it is 0.
        """
        vectors, step = vectors_of(self, state), state[Key.STEP]
        seen = state.get(Key.OBSERVATION, None) if self.observation_size else None
        if seen is None:
            seen = vectors.new_zeros(*vectors.shape[:-1], self.observation_size)
        features: Tensor = self.seen(
            vectors[..., :0], step, state[Key.ACCEPTED_TOTAL], torch.cat([vectors, seen], -1)
        )
        return features

    def logits(self, state: TensorDictBase) -> Tensor:
        """Score all items ``(..., N + 1)``, or only the candidates ``(..., C)`` of an offer."""
        queries, table = self.query(self.session_features(state)), self.item_table()
        candidates = state.get(Key.CANDIDATES, None)
        if candidates is None:
            scores = queries @ table.T
            # A mask excludes column 0 anyway.
            return scores if Key.MASK in state.keys() else _without_padding(scores)  # noqa: SIM118
        scores = torch.einsum("...a,...ca->...c", queries, embedding(candidates, table))
        return scores.masked_fill(candidates == PADDING, -torch.inf)

    def score(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Score all items, ``(B, N + 1)``, where no observation is told."""
        return self.logits(told(user_vectors, step, accepted_total))


def _without_padding(scores: Tensor) -> Tensor:
    return scores.index_fill(-1, torch.tensor([PADDING], device=scores.device), -torch.inf)
