"""What networks see of a session."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class SessionFeatures(nn.Module):
    """What a session's state tells a network: user vector, observation, time, success so far.

    :param vector_size: length of user vectors, which are brought to unit mean square.
    :param horizon: steps after which the step counts as 1.
    :param observation_size: length of the observation, which is taken as it is.
    """

    def __init__(self, vector_size: int, horizon: int, observation_size: int = 0) -> None:
        super().__init__()
        self.horizon = horizon
        self.vector_size, self.observation_size = vector_size, observation_size
        self.size = vector_size + observation_size + 2
        self.norm = nn.RMSNorm(vector_size, elementwise_affine=False) if vector_size else None

    def forward(
        self,
        user_vectors: Tensor,
        step: Tensor,
        accepted_total: Tensor,
        observation: Tensor | None = None,
    ) -> Tensor:
        """Give ``(..., size)`` features, each of order 1.

        :param user_vectors: ``(..., vector_size)``.
        :param step: ``(..., 1)`` int64.
        :param accepted_total: ``(..., 1)`` float32.
        :param observation: ``(..., observation_size)`` float32; zeros where it is not told.
        """
        parts = [user_vectors if self.norm is None else self.norm(user_vectors)]
        if self.observation_size:
            if observation is None:
                observation = step.new_zeros(*step.shape[:-1], self.observation_size).float()
            parts.append(observation)
        time = step.float() / self.horizon
        # As if one of two earlier slates had been accepted: the first steps' share stays moderate.
        share = (accepted_total + 1) / (step + 2) - 0.5
        return torch.cat([*parts, time, share], -1)


class SessionValue(nn.Module):
    """Foretells the rewards that a session will still bring.

    :param size: length of what is seen of a state.
    :param hidden: widths of the hidden layers.
    """

    def __init__(self, size: int, hidden: Sequence[int] = (64,)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide in pairwise([size, *hidden]):
            layers += [nn.Linear(narrow, wide), nn.Tanh()]
        self.network = nn.Sequential(*layers, nn.Linear([size, *hidden][-1], 1))

    def forward(self, features: Tensor) -> Tensor:
        """Give values ``(..., 1)`` of features ``(..., size)``."""
        values: Tensor = self.network(features)
        return values
