"""The conditional logit that knows popularity only: what every choice model must beat."""

import torch
from torch import Tensor


class PopularityChoice:
    """P(i | set) ∝ exp(a · score of i), nothing having utility b, for all users alike.

    :param scores: (N + 1,) scores of items, such as log popularity.
    """

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores.double()
        self.weight = scores.new_ones((), dtype=torch.float64)
        self.nothing = scores.new_zeros((), dtype=torch.float64)

    def fit(self, items: Tensor, choice: Tensor, weight: Tensor) -> None:
        """Fit a and b by maximum likelihood.

        :param items: (B, C) int64 sets, padded with 0.
        :param choice: (B,) the slot taken, C for nothing.
        :param weight: (B,) how much a row counts.
        """
        parameters = torch.stack([self.weight, self.nothing]).requires_grad_(True)
        optimizer = torch.optim.LBFGS([parameters], max_iter=50, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            self.weight, self.nothing = parameters[0], parameters[1]
            log_p = self.log_probabilities(items).gather(1, choice.unsqueeze(1)).squeeze(1)
            value = -(weight * log_p).sum() / weight.sum()
            value.backward()
            return value

        optimizer.step(loss)
        self.weight, self.nothing = parameters.detach()

    def log_probabilities(self, items: Tensor) -> Tensor:
        """Log-probabilities (B, C + 1) of items (B, C) and, in the last column, of nothing."""
        utilities = (self.weight * self.scores[items]).masked_fill(items == 0, -torch.inf)
        nothing = self.nothing.expand(len(items), 1)
        return torch.cat([utilities, nothing], -1).log_softmax(-1)
