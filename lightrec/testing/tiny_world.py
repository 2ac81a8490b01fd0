"""The smallest world that keeps the contract: to begin with and to test on."""

import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.catalog import Catalog
from lightrec.keys import Column, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, State
from lightrec.simulators.world import World


class TinyWorld(World):
    """Users take the first item of a slate with a probability of their own, which steps lower.

    Each step offers 4 of 12 items. What is true is the luck; what may be seen is the last answer.

    :param batch_size: sessions B.
    :param settings: of :class:`~lightrec.simulators.world.World`.
    """

    ITEMS = 12
    OFFER = 4

    def __init__(self, batch_size: int, **settings: object) -> None:
        settings = {"history_length": 3, "max_steps": 5, "offer_size": self.OFFER} | settings
        super().__init__(
            torch.eye(self.ITEMS + 1)[:, 1:],
            batch_size,
            latent={"luck": ()},
            observation_size=1,
            **settings,
        )

    def begin(self, session: Tensor) -> dict[str, State]:
        """Give every user a luck, evenly from 0 to 1."""
        luck = noise.uniform(session).float().squeeze(1)
        seen = torch.zeros(len(session), 1, device=self.device)
        return {Key.LATENT: {"luck": luck}, Key.OBSERVATION: seen}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take the first item or nothing."""
        luck = state[Key.LATENT, "luck"]
        took = noise.uniform(noise.mix(self.chance(state), 0)).squeeze(1) < luck
        taken = torch.zeros_like(slate, dtype=torch.bool)
        taken[:, 0] = took & (slate[:, 0] > 0)
        changed = {
            Key.LATENT: {"luck": 0.9 * luck},
            Key.OBSERVATION: took.float()[:, None],
            Key.TRUE_REWARD: luck[:, None],
        }
        return Response(taken, taken.float(), torch.full_like(luck, 0.1), changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """All items are equally good."""
        return torch.zeros(len(state), self.OFFER, device=self.device)

    def catalog(self) -> Catalog:
        """Twelve items with nothing but a name."""
        return Catalog(pl.DataFrame({Column.ITEM: [f"item-{i}" for i in range(1, 13)]}))
