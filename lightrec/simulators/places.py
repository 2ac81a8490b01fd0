"""Position-aware choice: what the place at which an item is shown does to its being taken."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightrec.errors import RecipeError


def place_weights(
    given: Sequence[float] | None, slate_size: int, device: torch.device | None
) -> Tensor | None:
    """Make a tensor (K,) float32 of the log-weights of a slate's places; None stays None.

    :param given: K numbers; minus infinity for a place at which nobody looks.
    :raises RecipeError: where they are not K, or one is NaN or plus infinity.
    """
    if given is None:
        return None
    weights = torch.tensor(given, dtype=torch.float32, device=device)
    if weights.shape != (slate_size,) or not (weights < torch.inf).all():
        raise RecipeError(
            f"place_log_weights is {list(given)}; give a number for each of the {slate_size} "
            "places of a slate, or minus infinity for one that nobody looks at."
        )
    return weights


def placed(logits: Tensor, weights: Tensor | None) -> Tensor:
    """Add to the logits of a slate's items what their places do.

    An item at place k is then taken with weight exp(logit + log-weight of k), beside nothing's own:
    the conditional logit with position as a covariate.

    :param logits: (B, K).
    :param weights: (K,) from :func:`place_weights`; with None the logits are given back untouched.
    """
    return logits if weights is None else logits + weights
