"""A simulator whose truth is known."""

import polars as pl
import torch

from lightrec.data.catalog import Catalog
from lightrec.keys import Column, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response
from lightrec.simulators.world import World


class Waiting(World):
    """Users whose liking is the same for all.

    :param batch_size: sessions B.
    :param willing: probability of taking an item.
    :param device: where everything is computed.
    """

    def __init__(
        self, batch_size: int, *, willing: float = 0.5, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(
            torch.eye(7)[:, 1:],
            batch_size,
            latent={"mood": ()},
            history_length=3,
            max_steps=5,
            device=device,
        )
        self.willing = willing

    def begin(self, session):
        return {Key.LATENT: {"mood": torch.zeros(len(session), device=self.device)}}

    def respond(self, state, slate):
        """Take the first item by chance; a tenth of the users leaves."""
        taken = torch.zeros_like(slate, dtype=torch.bool)
        chance = noise.uniform(noise.mix(self.chance(state), 0)).squeeze(1)
        taken[:, 0] = (chance < self.willing) & (slate[:, 0] > 0)
        return Response(taken, taken.float(), torch.full_like(chance, 0.1, dtype=torch.float32))

    def oracle(self, state):
        return torch.zeros(len(state), self.num_items + 1, device=self.device)

    def catalog(self):
        return Catalog(pl.DataFrame({Column.ITEM: list("abcdef")}))
