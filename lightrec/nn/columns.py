"""Arithmetic over columns of which some may not be shown, free of NaN in values and gradients.

A column that may not be shown has minus infinity, or the finite floor that
:class:`~lightrec.nn.plackett_luce.PlackettLuce` puts in its place.
"""

import torch
from torch import Tensor


def may_be_shown(logits: Tensor) -> Tensor:
    """Tell which columns may be shown.

    :param logits: ``(..., C)`` floating point.
    :returns: ``(..., C)`` bool.
    """
    return logits > _floor(logits) / 2


def log_probabilities(logits: Tensor) -> Tensor:
    """Normalise logits over the columns that may be shown.

    :param logits: ``(..., C)``, minus infinity for columns that may not be shown.
    :returns: ``(..., C)``, finite: a column that may not be shown has a logarithm so low that its
        exponential is exactly 0. Where no column may be shown all are alike.
    """
    # Minus infinity would make NaN of 0 · log 0 and of the gradient.
    return logits.clamp_min(_floor(logits)).log_softmax(-1)


def expectation(probabilities: Tensor, values: Tensor, shown: Tensor) -> Tensor:
    """Sum values by their probabilities over the columns that may be shown.

    :param probabilities: ``(..., C)``.
    :param values: ``(..., C)``; whatever stands in columns that may not be shown counts nothing.
    :param shown: ``(..., C)`` bool.
    :returns: ``(...)``; 0 where no column may be shown, since nothing is earned there.
    """
    zero = torch.zeros_like(values)
    return (probabilities * torch.where(shown, values, zero) * shown).sum(-1)


def at(values: Tensor, columns: Tensor) -> Tensor:
    """Read values at columns; at empty places (-1) whatever the first column holds.

    :param values: ``(..., C)``.
    :param columns: ``(..., K)`` int64.
    :returns: ``(..., K)``.
    """
    return values.gather(-1, columns.clamp_min(0))


def _floor(logits: Tensor) -> float:
    return torch.finfo(logits.dtype).min / 4
