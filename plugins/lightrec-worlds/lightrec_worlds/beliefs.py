"""Policies that adapt to a person's answers, likes and declines, by a belief about their taste."""

from typing import Literal

import torch
from torch import Tensor

from lightrec.api import (
    Key,
    PolicyMaker,
    RecipeError,
    Run,
    ScoredPolicy,
    Simulator,
    State,
    among_candidates,
)
from lightrec.policies.baselines import ConstantListPolicy
from lightrec_worlds.answered import ANSWERS, Answered
from lightrec_worlds.loadings import Loadings

Exploring = Literal["greedy", "thompson", "upper"]


class BeliefPolicy(ScoredPolicy):
    """Shows what a person is believed to like best, after what they answered in the session.

    The belief is that of a factor model (:class:`~lightrec_worlds.loadings.Loadings`): normal, with
    mean and variance in closed form. An item's score is its expected answer.

    :param num_items: number of items N.
    :param size: factors D.
    :param explore: ``greedy`` by the mean; ``thompson`` draws a taste from the belief at every step
        (Thompson 1933); ``upper`` adds ``bonus`` standard deviations of what is expected of each.
    :param bonus: of ``upper``.
    :param caution: factor on the noise: above 1 where answers say less than the model has it.
    :param declines: whether declines are read; False sees likes alone.
    """

    reads = (Key.SEEN, ANSWERS)
    mean: Tensor
    """(N + 1,) float32."""
    weights: Tensor
    """(N + 1, D) float32."""
    noise: Tensor
    """(N + 1,) float32, variances."""

    def __init__(
        self,
        num_items: int,
        size: int,
        explore: Exploring = "greedy",
        bonus: float = 1.0,
        caution: float = 1.0,
        declines: bool = True,
    ) -> None:
        super().__init__(num_items)
        self.explore, self.bonus, self.caution = explore, bonus, caution
        self.declines = declines
        self.register_buffer("mean", torch.zeros(num_items + 1))
        self.register_buffer("weights", torch.zeros(num_items + 1, size))
        self.register_buffer("noise", torch.ones(num_items + 1))

    def believe(self, loadings: Loadings) -> "BeliefPolicy":
        """Take over a fitted model."""
        for name in ("mean", "weights", "noise"):
            getattr(self, name).copy_(getattr(loadings, name))
        return self

    def belief(self, state: State) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and variance (B, D, D) of a person's factors."""
        seen, answers = state[Key.SEEN], state[ANSWERS]
        there = (seen > 0) if self.declines else answers > 0
        weights = self.weights[seen] * there.unsqueeze(2)
        sharp = weights / (self.caution * self.noise[seen]).unsqueeze(2)
        unit = torch.eye(weights.shape[2], device=weights.device)
        variance = torch.linalg.inv(weights.mT @ sharp + unit)
        told = ((answers - self.mean[seen]).unsqueeze(1) @ sharp).squeeze(1)
        return (variance @ told.unsqueeze(2)).squeeze(2), variance

    def logits(self, state: State) -> Tensor:
        """What each column is expected to be answered, or what ``explore`` makes of it."""
        taste, variance = self.belief(state)
        if self.explore == "thompson":
            drawn = torch.randn_like(taste).unsqueeze(2)
            taste = taste + (torch.linalg.cholesky(variance) @ drawn).squeeze(2)
        scores = self.mean + taste @ self.weights.T
        if self.explore == "upper":
            spread = torch.einsum("nd,bde,ne->bn", self.weights, variance, self.weights)
            scores = scores + self.bonus * spread.sqrt()
        return among_candidates(state, scores)


class FixedList(PolicyMaker):
    """Makes the list for everybody, ordered by the mean answer of the people who are known."""

    def policy(
        self, simulator: Simulator, users: Tensor, run: Run | None = None
    ) -> ConstantListPolicy:
        """Order the items."""
        return ConstantListPolicy.from_appeal(_answered(simulator).loadings.mean)


class Belief(PolicyMaker):
    """Makes the policy of beliefs for people whose answers are known, from those of others."""

    def policy(self, simulator: Simulator, users: Tensor, run: Run | None = None) -> BeliefPolicy:
        """Take the factors by which the world shows its items."""
        loadings = _answered(simulator).loadings
        made = BeliefPolicy(simulator.num_items, loadings.weights.shape[1])
        return made.believe(loadings).to(simulator.device)


def _answered(simulator: Simulator) -> Answered:
    if not isinstance(simulator, Answered):
        raise RecipeError(
            f"This policy learns from the people whose answers are known, and "
            f"{type(simulator).__name__} has none. Play it in Answered."
        )
    return simulator
