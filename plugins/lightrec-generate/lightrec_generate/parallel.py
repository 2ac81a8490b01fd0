"""A generator that writes all digits of an identifier at once."""

import torch
from torch import Tensor

from lightrec.ranking.losses import softmax_loss
from lightrec_generate.generator import Generator


class ParallelGenerator(Generator):
    """Writes all digits at once, each given the history alone.

    The law over the catalog is the product of the digits' probabilities, brought to a sum of 1 over
    the items that exist, as in RPG (Hou et al. 2025). It is this law that is learned: where each
    digit is learned by itself, as there, items that do not exist take part of the probability.

    The parameters are those of :class:`Generator`.
    """

    def loss(self, states: Tensor, target: Tensor) -> Tensor:
        """Minus the mean log-probability of what came, a scalar."""
        table = self.tables()
        positive = (states * table[target]).sum(1)
        unknown = torch.zeros_like(self.counts).masked_fill(~self.known, -torch.inf)
        return softmax_loss(states, table, unknown, lambda rows: target[rows, None], positive)

    def tables(self) -> Tensor:
        """A vector for every item, ``(N + 1, D)``."""
        heads = torch.stack([ask.get_parameter("weight") for ask in self.asks])
        return self._digits(self.identifiers.codes, self.written @ heads)

    def law(self, users: Tensor, tables: Tensor) -> Tensor:
        """The law over the items that are known, ``(B, N + 1)``."""
        return (users @ tables.T).masked_fill(~self.known, -torch.inf).log_softmax(1)
