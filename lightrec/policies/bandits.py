"""Bandits on item vectors: LinUCB and Thompson sampling, on one linear model of the answers."""

import torch
from torch import Tensor

from lightrec.policies.linear_bandit import Learned, LinearBandit

ITEMS_AT_ONCE = 4096
"""How many items' widths are computed at once, which bounds memory."""


class LinUCB(LinearBandit):
    """Shows the highest upper confidence bounds: mean + α · width of what an item would answer.

    Li et al. 2010, with the shared features of
    :class:`~lightrec.policies.linear_bandit.LinearBandit`: the width is √(φᵀA⁻¹φ). With α = 0 it is
    the greedy linear model, which learns from what it happens to show.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param alpha: α, how much doubt is worth.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: ``click`` or ``reward``.
    :param ridge: precision of every coefficient before anything is learned.
    :param sharpness: factor on scores as logits of a drawn slate.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        alpha: float = 1.0,
        observation_size: int = 0,
        history_length: int = 20,
        learned: Learned = "click",
        ridge: float = 1.0,
        sharpness: float = 20.0,
    ) -> None:
        super().__init__(
            num_items, vector_size, observation_size, history_length, learned, ridge, sharpness
        )
        self.alpha = alpha

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give the upper confidence bounds ``(B, M)``."""
        taste = contexts @ self.mean.view(contexts.shape[1], -1)
        found = _product(taste, items)
        return found + self.alpha * self.widths(contexts, items) if self.alpha else found

    def widths(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give √(φᵀA⁻¹φ), ``(B, M)`` float64, without ever forming φ.

        :param contexts: ``(B, 1 + C)`` float64.
        :param items: ``(B or 1, M, 1 + D)`` float64.
        """
        user, item = contexts.shape[1], items.shape[2]
        pairs = (contexts.unsqueeze(2) * contexts.unsqueeze(1)).flatten(1)
        whole = self.covariance.view(user, item, user, item).permute(0, 2, 1, 3)
        # Each user's own quadratic form over items.
        form = pairs @ whole.reshape(user**2, item**2)
        if len(items) == len(contexts):
            own = torch.einsum("bij,bmi,bmj->bm", form.view(-1, item, item), items, items)
        else:
            parts = items[0].split(ITEMS_AT_ONCE)
            squares = ((z.unsqueeze(2) * z.unsqueeze(1)).flatten(1) for z in parts)
            own = torch.cat([form @ square.T for square in squares], 1)
        return own.clamp_min(0).sqrt()


class ThompsonSampling(LinearBandit):
    """Shows what is best if a draw from the posterior were true, drawn anew for each user and step.

    Agrawal and Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs": the
    coefficients are drawn from N(A⁻¹Φᵀy, spread² A⁻¹), see
    :class:`~lightrec.policies.linear_bandit.LinearBandit`. The log-probability that is written is
    that given the draw; weighting by it is unbiased, since the draw knows nothing of the answer.

    :param num_items: number of items N.
    :param vector_size: width D of the items' vectors.
    :param spread: standard deviation of an answer about its mean; .5 is the most that a click has.
    :param observation_size: width of the observation in the context; 0 does without.
    :param history_length: how many of the last choices make up the history; 0 does without.
    :param learned: ``click`` or ``reward``.
    :param ridge: precision of every coefficient before anything is learned.
    :param sharpness: factor on scores as logits of a drawn slate.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        spread: float = 0.5,
        observation_size: int = 0,
        history_length: int = 20,
        learned: Learned = "click",
        ridge: float = 1.0,
        sharpness: float = 20.0,
    ) -> None:
        super().__init__(
            num_items, vector_size, observation_size, history_length, learned, ridge, sharpness
        )
        self.spread = spread

    def draws(self, count: int) -> Tensor:
        """Draw coefficients ``(count, P)`` float64 from torch's global generator."""
        normal = torch.randn(count, len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.spread * normal @ torch.linalg.cholesky(self.covariance).T

    def score_items(self, contexts: Tensor, items: Tensor) -> Tensor:
        """Give what the items would answer by draws of each user's own ``(B, M)``."""
        drawn = self.draws(len(contexts)).view(len(contexts), contexts.shape[1], -1)
        return _product((contexts.unsqueeze(1) @ drawn).squeeze(1), items)


def _product(tastes: Tensor, items: Tensor) -> Tensor:
    """Multiply tastes ``(B, 1 + D)`` by items ``(B or 1, M, 1 + D)``: ``(B, M)``."""
    if len(items) == len(tastes):
        return (items @ tastes.unsqueeze(2)).squeeze(2)
    return tastes @ items[0].T
