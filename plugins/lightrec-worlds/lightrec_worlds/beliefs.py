"""Policies that adapt to a person's answers, likes and declines, by a belief about their taste."""

from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import Key, RecipeError, Simulator, State, TwoTowerPolicy
from lightrec_worlds.answered import ANSWERS, AnsweredWorld
from lightrec_worlds.loadings import Loadings

After = Literal["nothing", "likes", "answers"]


class BeliefPolicy(TwoTowerPolicy):
    """Shows what a person is believed to like best, after what they answered in the session.

    The belief is that of a factor model, see :class:`~lightrec_worlds.loadings.Loadings`: normal,
    with mean and variance in closed form. An item's score is its expected answer. Where a state has
    no answers, nothing is known of the person.

    :param num_items: number of items N.
    :param factors: their number D; made for a world, the policy has as many as the world.
    :param after: what is read of a session: all ``answers``, the ``likes`` alone, or ``nothing``,
        so that everybody is shown the items of the highest mean.
    """

    reads: tuple[str, ...] = (Key.SEEN, ANSWERS)
    mean: Tensor
    """(N + 1,) float32."""
    weights: Tensor
    """(N + 1, D) float32."""
    noise: Tensor
    """(N + 1,) float32, variances."""

    def __init__(self, num_items: int, factors: int = 8, after: After = "answers") -> None:
        super().__init__(num_items)
        self.after = after
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
        taste, _ = self.belief(state)
        return pad(taste, (1, 0), value=1.0)

    def item_table(self) -> Tensor:
        """Mean answers and loadings, ``(N + 1, 1 + D)``."""
        return torch.cat([self.mean[:, None], self.weights], 1)
