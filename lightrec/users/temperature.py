"""Calibrating a choice law on held-out choices: one temperature, and a shift of nothing."""

import torch
from torch import Tensor

PARAMETERS = 2
NEVER = -30.0
"""A shift that leaves nothing a probability below e⁻³⁰ beside an item of utility 0."""


def tempered(utilities: Tensor, temperature: Tensor, shift: Tensor) -> Tensor:
    """Log-probabilities (B, C + 1) of utilities (B, C), nothing, of utility 0, being last.

    :param temperature: by which utilities are divided.
    :param shift: what is then taken from them, so that nothing's odds grow by exp(shift).
    """
    scores = utilities / temperature - shift
    return torch.cat([scores, scores.new_zeros(len(scores), 1)], 1).log_softmax(1)


def fit_temperature(utilities: Tensor, choice: Tensor, weight: Tensor) -> tuple[float, float]:
    """Fit temperature and shift by maximum likelihood (Platt 1999; Guo et al. 2017).

    :param utilities: (B, C), minus infinity where there is no item.
    :param choice: (B,) int64, C for nothing.
    :param weight: (B,).
    :returns: both; 1 and 0 where they gain less in all than two parameters gain by chance, one nat
        each (Akaike 1974). Where nothing is never chosen it is no alternative: the temperature is
        that of the items among themselves, and the shift is :data:`NEVER`.
    """
    scores, weights = utilities.double(), weight.double()
    scores = scores.nan_to_num(neginf=-1e9)
    chosen = bool((choice == utilities.shape[1]).any())
    free = scores.new_zeros(PARAMETERS if chosen else 1, requires_grad=True)

    def log_likelihood(values: Tensor) -> Tensor:
        if chosen:
            log_p = tempered(scores, values[0].exp(), values[1])
        else:
            log_p = (scores / values[0].exp()).log_softmax(1)
        return (weights * log_p.gather(1, choice.unsqueeze(1)).squeeze(1)).sum()

    # The line search may try any temperature: one below exp(-20) overflows and is turned back.
    optimizer = torch.optim.LBFGS([free], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -log_likelihood(free) / weights.sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    found = free.detach()
    gain = float(log_likelihood(found) - log_likelihood(torch.zeros_like(found)))
    if not gain > len(found):
        found = torch.zeros_like(found)
    return float(found[0].exp()), float(found[1]) if chosen else NEVER
