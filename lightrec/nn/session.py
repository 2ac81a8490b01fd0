"""What networks see of a session."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class SessionFeatures(nn.Module):
    """Features of a session's state: user vector, observation, time, success so far.

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
        :param observation: ``(..., observation_size)`` float32; zeros by default.
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


def perceptron(
    sizes: Sequence[int], spectral: bool = False, activation: type[nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Give linear layers with a nonlinearity between them.

    :param sizes: input, hidden widths, output.
    :param spectral: divide each layer by its largest singular value, so that the whole changes no
        faster than its input (Miyato et al. 2018).
    """
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(sizes):
        layer = nn.Linear(narrow, wide)
        layers += [spectral_norm(layer) if spectral else layer, activation()]
    return nn.Sequential(*layers[:-1])


def network_from_zero(sizes: Sequence[int]) -> nn.Sequential:
    """Give layers with GELU between them, the last of which begins at zero."""
    network = perceptron(sizes, activation=nn.GELU)
    for parameter in network[-1].parameters():
        nn.init.zeros_(parameter)
    return network
