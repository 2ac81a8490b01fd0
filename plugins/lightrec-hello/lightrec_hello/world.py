"""People whose tastes are known, to try policies on."""

from typing import Any

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.api import Catalog, Column, Key, Response, World, noise


class HelloWorld(World):
    """People who like one kind of item: they take it in 6 of 10 cases, others in 1 of 10.

    :param batch_size: sessions B.
    :param num_items: N; item i is of the kind i modulo ``kinds``.
    :param kinds: number of kinds.
    :param settings: of :class:`~lightrec.simulators.world.World`.
    """

    def __init__(
        self, batch_size: int, *, num_items: int = 40, kinds: int = 4, **settings: Any
    ) -> None:
        self.kinds = kinds
        kind = one_hot(torch.arange(1, num_items + 1) % kinds, kinds).float()
        latent = {"likes": (kinds,)}
        super().__init__(pad(kind, (0, 0, 1, 0)), batch_size, latent=latent, **settings)

    def begin(self, session: Tensor) -> dict[str, Any]:
        """A kind that each user likes, ``likes`` (R, kinds)."""
        liked = noise.below(noise.mix(session, 0), self.kinds).squeeze(1)
        return {Key.LATENT: {"likes": one_hot(liked, self.kinds).float()}}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take or leave every item of the slate by itself; nobody leaves the session."""
        draw = noise.uniform(noise.mix(self.chance(state), slate)).float()
        taken = (draw < self.oracle(state).gather(1, slate)) & (slate > 0)
        return Response(taken, taken.float(), torch.zeros_like(taken[:, 0]))

    def oracle(self, state: TensorDictBase) -> Tensor:
        """The probability of taking each item, (B, N + 1)."""
        likes: Tensor = state[Key.LATENT, "likes"]
        return 0.1 + 0.5 * likes @ self.item_vectors.T

    def catalog(self) -> Catalog:
        """The items, with their kinds as titles."""
        numbers = range(1, self.num_items + 1)
        titles = [f"kind {number % self.kinds}" for number in numbers]
        items = {Column.ITEM: [f"item-{number}" for number in numbers], Column.TITLE: titles}
        return Catalog(pl.DataFrame(items))
