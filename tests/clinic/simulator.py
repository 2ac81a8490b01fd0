"""Two simulators: one whose truth is known, and one that only answers."""

import polars as pl
import torch
from tensordict import TensorDict

from lightrec.data.catalog import Catalog
from lightrec.keys import Column, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator
from lightrec.simulators.world import World


def answer(simulator, state, slate, willing):
    """Take the first item by chance; a tenth of the users leaves."""
    taken = torch.zeros_like(slate, dtype=torch.bool)
    chance = noise.uniform(noise.mix(simulator.chance(state), 0)).squeeze(1)
    taken[:, 0] = (chance < willing) & (slate[:, 0] > 0)
    return Response(taken, taken.float(), torch.full_like(chance, 0.1, dtype=torch.float32))


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
        return answer(self, state, slate, self.willing)

    def oracle(self, state):
        return torch.zeros(len(state), self.num_items + 1, device=self.device)

    def catalog(self):
        return Catalog(pl.DataFrame({Column.ITEM: list("abcdef")}))


class Seats(Simulator):
    """The same, with nothing known of it but the answers.

    :param batch_size: sessions B.
    :param willing: probability of taking an item.
    """

    def __init__(self, batch_size: int, *, willing: float = 0.5) -> None:
        super().__init__(6, batch_size, history_length=3, max_steps=5)
        self.willing = willing

    def start(self, rows, session):
        state = {
            Key.USER: rows if self.given is None else self.given[0][rows],
            Key.HISTORY: torch.zeros(len(rows), 3, dtype=torch.int64),
            Key.MASK: self.offered.repeat(len(rows), 1),
        }
        return TensorDict(state, [len(rows)])

    def respond(self, state, slate):
        return answer(self, state, slate, self.willing)
