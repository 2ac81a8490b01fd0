"""A generator that writes all digits of an identifier at once."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lightrec_generate.generator import Generator


class ParallelGenerator(Generator):
    """Writes all digits at once, each given the history alone (RPG, Hou et al. 2025).

    It learns each digit by itself, over all of its values. The law over the catalog is the product
    of the digits' probabilities, brought to a sum of 1 over the items that exist.

    The parameters are those of :class:`Generator`.
    """

    def loss(self, states: Tensor, target: Tensor) -> Tensor:
        """Minus the digits' mean log-probability, ``(T,)``."""
        codes = self.identifiers.codes[target]
        queries = torch.stack([ask(states) for ask in self.asks])
        logits = torch.einsum("mtd,mkd->tmk", queries, self.written)
        loss = cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none")
        return loss.view_as(codes).mean(1)

    def tables(self) -> Tensor:
        """A vector for every item, ``(N + 1, D)``."""
        heads = torch.stack([ask.get_parameter("weight") for ask in self.asks])
        return self._digits(self.identifiers.codes, self.written @ heads)

    def law(self, users: Tensor, tables: Tensor) -> Tensor:
        """The law over the items that are known, ``(B, N + 1)``."""
        return (users @ tables.T).masked_fill(~self.known, -torch.inf).log_softmax(1)
