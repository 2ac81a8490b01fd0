"""Ridge regression that also predicts each row from all others."""

from collections.abc import Sequence

import torch
from torch import Tensor

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""The ridge penalties to choose from."""


def fit_left_out(
    inputs: Tensor, targets: Tensor, penalties: Sequence[float] = PENALTIES
) -> tuple[Tensor, Tensor]:
    """Regress targets on inputs, each column with the penalty that predicts left-out rows best.

    Leaving a row out needs no second fit (Allen 1974, "The relationship between variable selection
    and data augmentation"): its error is its residual, divided by 1 - h, with h the row's entry on
    the diagonal of the matrix that turns targets into fitted values. The means are those of all
    rows.

    :param inputs: (N, D).
    :param targets: (N, W).
    :returns: (D, W) weights of (x - mean of the inputs), and (N, W) predictions of each row by the
        others, less the targets' mean: new rows look like these, while a fit to the row's own
        target would flatter it. Both are of the inputs' type, computed in float64.
    """
    x, y = (part.double() - part.double().mean(0) for part in (inputs, targets))
    spreads, vectors = torch.linalg.eigh(x @ x.T)
    # The residual is penalty · (K + penalty)⁻¹ y, and 1 - h that matrix's diagonal.
    penalty = x.new_tensor(penalties).view(-1, 1, 1)
    left = penalty / (spreads.clamp_min(0).unsqueeze(1) + penalty)
    residual = vectors @ (left * (vectors.T @ y))
    error = residual / (vectors.square() @ left)
    best = error.square().mean(1).argmin(0).expand(1, len(x), -1)
    predicted = y - error.gather(0, best).squeeze(0)
    weights = x.T @ (residual / penalty).gather(0, best).squeeze(0)
    return weights.to(inputs), predicted.to(inputs)
