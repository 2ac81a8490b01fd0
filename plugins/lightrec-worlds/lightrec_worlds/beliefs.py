"""Policies that adapt to a person's answers, likes and declines, by a belief about their taste."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import Key, LearnedPolicy, RecipeError, Simulator, State, TwoTowerPolicy
from lightrec.nn.session import network_from_zero, with_progress
from lightrec_worlds.answered import ANSWERS, AnsweredWorld
from lightrec_worlds.loadings import Loadings

After = Literal["nothing", "likes", "answers"]
Exploring = Literal["greedy", "thompson", "upper"]


class BeliefPolicy(TwoTowerPolicy):
    """Shows what a person is believed to like best, after what they answered in the session.

    The belief is that of a factor model, see :class:`~lightrec_worlds.loadings.Loadings`: normal,
    with mean and variance in closed form. An item's score is its expected answer. Where a state has
    no answers, nothing is known of the person.

    :param num_items: number of items N.
    :param factors: their number D; made for a world, the policy has as many as the world.
    :param after: what is read of a session: all ``answers``, the ``likes`` alone, or ``nothing``,
        so that everybody is shown the items of the highest mean.
    :param explore: ``greedy`` by the expectation; ``thompson`` draws a taste from the belief at
        every step (Thompson 1933); ``upper`` adds ``bonus`` standard deviations of what is expected
        of each item.
    :param bonus: of ``upper``.
    """

    reads: tuple[str, ...] = (Key.SEEN, ANSWERS)
    mean: Tensor
    """(N + 1,) float32."""
    weights: Tensor
    """(N + 1, D) float32."""
    noise: Tensor
    """(N + 1,) float32, variances."""

    def __init__(
        self,
        num_items: int,
        factors: int = 8,
        after: After = "answers",
        explore: Exploring = "greedy",
        bonus: float = 1.0,
    ) -> None:
        super().__init__(num_items)
        self.after, self.explore, self.bonus = after, explore, bonus
        self.register_buffer("mean", torch.zeros(num_items + 1))
        self.register_buffer("weights", torch.zeros(num_items + 1, factors))
        self.register_buffer("noise", torch.ones(num_items + 1))

    @classmethod
    def from_world(cls, world: Simulator, **settings: Any) -> Self:
        """Take the factors by which a world of answers shows its items.

        :raises RecipeError: where it is none.
        """
        if not isinstance(world, AnsweredWorld):
            raise RecipeError(
                f"{cls.__name__} learns from people whose answers are known, and "
                f"{type(world).__name__} has none. Play it in AnsweredWorld."
            )
        factors = world.loadings.weights.shape[1]
        policy = super().from_world(world, **settings | {"factors": factors})
        return policy.believing(world.loadings).to(world.device)

    def believing(self, loadings: Loadings) -> Self:
        """The same, which believes by a factor model of as many items and factors."""
        for name in ("mean", "weights", "noise"):
            getattr(self, name).copy_(getattr(loadings, name))
        return self

    def belief(self, state: State) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and variance (B, D, D) of a person's factors."""
        if (answers := state.get(ANSWERS, None)) is None:
            seen = state[Key.HISTORY][:, :0]
            answers = seen.float()
        else:
            seen = state[Key.SEEN]
        there = {"answers": seen > 0, "likes": answers > 0, "nothing": seen < 0}[self.after]
        weights = self.weights[seen] * there.unsqueeze(2)
        sharp = weights / self.noise[seen].unsqueeze(2)
        unit = torch.eye(weights.shape[2], device=weights.device)
        variance = torch.linalg.inv(weights.mT @ sharp + unit)
        told = (answers - self.mean[seen]).unsqueeze(1) @ sharp
        return (told @ variance).squeeze(1), variance

    def query(self, state: State) -> Tensor:
        """A one for the mean, and what the taste is taken for: ``(B, 1 + D)``."""
        taste, variance = self.belief(state)
        if self.explore == "thompson":
            drawn = torch.randn_like(taste).unsqueeze(2)
            taste = taste + (torch.linalg.cholesky(variance) @ drawn).squeeze(2)
        return pad(taste, (1, 0), value=1.0)

    def item_table(self) -> Tensor:
        """Mean answers and loadings, ``(N + 1, 1 + D)``."""
        return torch.cat([self.mean[:, None], self.weights], 1)

    def logits(self, state: State) -> Tensor:
        """What each column is expected to be answered, or what ``explore`` makes of it."""
        scores = super().logits(state)
        if self.explore == "upper":
            _, variance = self.belief(state)
            spread = torch.einsum("nd,bde,ne->bn", self.weights, variance, self.weights)
            scores = scores + self.bonus * spread.sqrt()
        return scores


class LearnedBelief(BeliefPolicy, LearnedPolicy):
    """A belief that a network corrects, which learners train: it begins as greedy by the belief.

    :param num_items: number of items N.
    :param factors: as of :class:`BeliefPolicy`.
    :param temperature: what expected answers are divided by before they are logits.
    :param hidden: widths of the network's hidden layers.
    :param horizon: steps after which the step counts as 1.
    """

    reads = (*BeliefPolicy.reads, Key.STEP, Key.ACCEPTED_TOTAL)

    def __init__(
        self,
        num_items: int,
        factors: int = 8,
        temperature: float = 1.0,
        hidden: Sequence[int] = (64,),
        horizon: int = 20,
    ) -> None:
        super().__init__(num_items, factors)
        self.temperature, self.horizon, self.feature_size = temperature, horizon, 2 * factors + 2
        self.correction = network_from_zero([self.feature_size, *hidden, factors + 1])

    def session_features(self, state: State) -> Tensor:
        """The taste's mean and variances, time, and the share of likes, ``(B, 2D + 2)``."""
        taste, variance = self.belief(state)
        spread = variance.diagonal(dim1=-2, dim2=-1)
        return with_progress(torch.cat([taste, spread], -1), state, self.horizon)

    def query(self, state: State) -> Tensor:
        """The belief's own, corrected: ``(B, 1 + D)``."""
        features = self.session_features(state)
        own = pad(features[:, : self.weights.shape[1]], (1, 0), value=1.0)
        return (own + self.correction(features)) / self.temperature
