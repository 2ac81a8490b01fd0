"""The weights of a blend: those that make held-out events most likely."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

BLOCK: Final = 1 << 24
"""How many logits exist at once."""


def fit_weights(
    others: Tensor, blocked: Tensor, own: Tensor, start: Tensor, correction: float = 0.0
) -> Tensor:
    """Maximum likelihood of a softmax whose logits are weighted sums, all weights 0 or more.

    The problem is convex. A penalty of ``(weight - start) ** 2 / 2``, worth one event or so,
    decides where the events say nothing.

    :param others: (K, E, C) float32: logarithms of K parts for C items of E events.
    :param blocked: (E, C) bool: what takes no part, the events' own items among it.
    :param own: (K, E) float32: logarithms for the items that came.
    :param start: (K,) float32: the weights without evidence.
    :param correction: added to the others' logits, where they stand for more than themselves.
    :returns: (K,) float32 weights.
    """
    events = own.shape[1]
    if not events:
        return start.clone()
    step = max(1, BLOCK // max(others.shape[2], 1))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = torch.from_numpy(weights).float()
        total, slope = 0.0, torch.zeros(len(w), dtype=torch.float64)
        for begin in range(0, events, step):
            rows = slice(begin, begin + step)
            part = others[:, rows]
            logits = torch.einsum("k,kec->ec", w, part) + correction
            logits = logits.masked_fill(blocked[rows], -torch.inf)
            mine = w @ own[:, rows]
            everything = torch.logaddexp(logits.logsumexp(1), mine)
            chance = (logits - everything[:, None]).exp()
            total += float((everything - mine).double().sum())
            expected = torch.einsum("ec,kec->ke", chance, part)
            expected += (mine - everything).exp() * own[:, rows]
            # Event by event, and in double precision only then: both sums are large, nearly alike.
            slope += (expected - own[:, rows]).double().sum(1)
        off = weights - start.double().numpy()
        return (total + float(off @ off) / 2) / events, (slope.numpy() + off) / events

    found = minimize(
        loss,
        start.double().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(start),
        options={"maxiter": 200},
    )
    return torch.from_numpy(np.asarray(found.x)).float()
