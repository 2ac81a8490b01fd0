"""The learned policy: the encoder's ranking plus what a simulator's rewards add to it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightrec.keys import PADDING
from lightrec.nn.ranker import Ranker
from lightrec.nn.session import SessionFeatures
from lightrec.policies.base import Policy, arguments_of, without_nothing


class CandidatePolicy(Policy):
    """Scores items by sharpness · encoder score + query · projected item vector.

    The query comes from the user vector, the step and the acceptances so far; it starts at zero, so
    that an untrained policy ranks exactly as the encoder. Nothing is learned for single items: an
    item never shown in training is scored from its vector.

    :param num_items: number of items N.
    :param ranker: constructor arguments of the frozen :class:`Ranker` inside.
    :param history_length: how many of a history's last steps are read.
    :param size: width of query and projection.
    :param hidden: width of the layer that makes the query.
    :param sharpness: first factor (inverse temperature) on the encoder's scores; it is learned.
    :param horizon: steps after which the step counts as 1.
    """

    item_vectors: Tensor
    """(N + 1, D + 1) float32: a copy of the encoder's, with its bias as the last column."""
    item_scale: Tensor
    """(D + 1,) float32: what brings the columns to unit variance."""

    def __init__(
        self,
        num_items: int,
        ranker: Mapping[str, Any],
        history_length: int = 20,
        size: int = 32,
        hidden: int = 64,
        sharpness: float = 1.0,
        horizon: int = 40,
    ) -> None:
        super().__init__(num_items)
        self.ranker = Ranker(**ranker).requires_grad_(False).eval()
        self.history_length = history_length
        self.horizon = horizon
        width = self.ranker.size
        self.register_buffer("item_vectors", torch.zeros(num_items + 1, width + 1))
        self.register_buffer("item_scale", torch.ones(width + 1))
        self.log_sharpness = nn.Parameter(torch.tensor(sharpness).log())
        self.features = SessionFeatures(width, horizon)
        last = nn.Linear(hidden, size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.query = nn.Sequential(nn.Linear(self.features.size, hidden), nn.GELU(), last)
        self.project = nn.Linear(width + 1, size, bias=False)

    @classmethod
    def from_ranker(cls, ranker: Ranker, **settings: Any) -> "CandidatePolicy":
        """Make an untrained policy around a copy of a trained encoder.

        :param settings: the further constructor arguments.
        """
        policy = cls(ranker.num_items, arguments_of(ranker), **settings)
        policy.ranker.load_state_dict(ranker.state_dict())
        policy.freeze_items()
        return policy.to(next(ranker.parameters()).device)

    @torch.no_grad()
    def freeze_items(self) -> None:
        """Copy the encoder's item vectors, which no longer change."""
        vectors = self.ranker.item_vectors()
        bias = self.ranker.item_bias()
        if bias is None:
            bias = vectors.new_zeros(len(vectors))
        self.item_vectors = torch.cat([vectors, bias.unsqueeze(1)], 1).detach().clone()
        spread = self.item_vectors[1:].std(0, correction=0)
        self.item_scale = torch.where(spread > 1e-6, 1 / spread.clamp_min(1e-6), 0)

    @torch.no_grad()
    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the encoder's user vectors ``(B, D)``."""
        history = without_nothing(history, self.num_items)[:, -self.history_length :]
        return self.ranker.user_vectors(history)

    def score(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Score all items, ``(B, N + 1)``."""
        features = self.features(user_vectors, step, accepted_total)
        # Scaled columns make learning independent of the encoder's units. Centring them as well
        # would add the same to all items.
        query = self.query(features) @ (self.project.weight * self.item_scale)
        encoder = torch.nn.functional.pad(user_vectors, (0, 1), value=1.0)
        # One product serves both: (sharpness · user + query) · item.
        scores = (self.log_sharpness.exp() * encoder + query) @ self.item_vectors.T
        return scores.index_fill(1, torch.tensor([PADDING], device=scores.device), -torch.inf)

    def train(self, mode: bool = True) -> "CandidatePolicy":
        """Set the mode of all but the frozen encoder."""
        super().train(mode)
        self.ranker.eval()
        return self
