"""What networks see of a session, and the keys that sessions add to :class:`lightrec.keys.Key`."""

from typing import Final

import torch
from torch import Tensor, nn


class SessionKey:
    """Keys of a session's state (B sessions)."""

    STEP: Final = "step"
    """(B, 1) int64: slates shown so far."""
    ACCEPTED: Final = "accepted"
    """(B, 1) float32: 1 where something was accepted in the last step, else 0."""
    ACCEPTED_TOTAL: Final = "accepted_total"
    """(B, 1) float32: items accepted so far."""
    SESSION: Final = "session"
    """(B, 1) int64: the number from which all of a session's chance is computed."""
    LOG_PROBABILITY: Final = "action_log_prob"
    """(B,) float32: of the slate shown, in its order."""


class SessionFeatures(nn.Module):
    """What a session's state tells a network: user vector, time, and success so far.

    :param vector_size: length of user vectors.
    :param horizon: steps after which the step counts as 1.
    """

    def __init__(self, vector_size: int, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.size = vector_size + 2
        self.norm = nn.RMSNorm(vector_size, elementwise_affine=False)

    def forward(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Give ``(..., vector_size + 2)`` features, each of order 1.

        :param user_vectors: ``(..., vector_size)``.
        :param step: ``(..., 1)`` int64.
        :param accepted_total: ``(..., 1)`` float32.
        """
        time = step.float() / self.horizon
        # As if one of two earlier slates had been accepted: the first steps' share stays moderate.
        share = (accepted_total + 1) / (step + 2) - 0.5
        return torch.cat([self.norm(user_vectors), time, share], -1)


class SessionValue(nn.Module):
    """Foretells the rewards that a session will still bring.

    :param vector_size: length of user vectors.
    :param hidden: width of the hidden layer.
    :param horizon: steps after which the step counts as 1.
    """

    def __init__(self, vector_size: int, hidden: int, horizon: int) -> None:
        super().__init__()
        self.features = SessionFeatures(vector_size, horizon)
        self.network = nn.Sequential(
            nn.Linear(self.features.size, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )

    def forward(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Give values ``(..., 1)``; arguments as for :class:`SessionFeatures`."""
        return self.network(self.features(user_vectors, step, accepted_total))
