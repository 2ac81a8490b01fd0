"""What networks see of a session."""

import torch
from torch import Tensor, nn


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
