"""The small networks of learners and their critics, on vectors of states and choices."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def perceptron(sizes: Sequence[int], spectral: bool = False) -> nn.Sequential:
    """Give layers with tanh between them.

    :param sizes: input, hidden widths, output.
    :param spectral: divide each layer by its largest singular value, so that the whole changes no
        faster than its input (Miyato et al. 2018).
    """
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(sizes):
        layer = nn.Linear(narrow, wide)
        layers += [spectral_norm(layer) if spectral else layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class ChoiceScore(nn.Module):
    """Scores choices in states, one score for each, whatever the number of choices.

    score(s, a) = t(s) · a + l(s), t and l being what one network says of the state. Where choices
    are unit vectors that is an ordinary network with one output for each of them.

    :param state_size: length S of a state's vector.
    :param choice_size: length A of a choice's vector.
    :param hidden: widths of the hidden layers.
    :param spectral: see :func:`perceptron`.
    """

    def __init__(
        self, state_size: int, choice_size: int, hidden: Sequence[int], spectral: bool = False
    ) -> None:
        super().__init__()
        self.tower = perceptron([state_size, *hidden, choice_size + 1], spectral)

    def forward(self, states: Tensor, choices: Tensor) -> Tensor:
        """Give ``(..., C)``.

        :param states: ``(..., S)``.
        :param choices: ``(..., C, A)``.
        """
        weights = self.tower(states)
        taste, level = weights[..., :-1], weights[..., -1:]
        scores: Tensor = torch.einsum("...a,...ca->...c", taste, choices) + level
        return scores
