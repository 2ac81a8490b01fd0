"""What learners see of states, and of the choices that are open in them: always floats.

Ids end here, so that whatever differentiates by its input, such as a gradient penalty, meets
vectors only.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.keys import PADDING, Key
from lightrec.nn.part import Part


class Features(Part, ABC):
    """Turns a simulator's states into vectors, and each open choice into one.

    An action is a column among the choices: ``(..., 1)`` int64.
    """

    keys: Sequence[str]
    """The keys of a state that are read."""
    state_size: int
    """Length S of a state's vector."""
    choice_size: int
    """Length A of a choice's vector."""
    offers: bool = False
    """Whether the choices differ from state to state, so that they are a part of the state."""
    anchor: int | None = None
    """Which number of a choice's vector marks, by 1, the choice whose reward is known to be 0, such
    as nothing; None where there is no such choice."""

    @abstractmethod
    def states(self, batch: TensorDictBase) -> Tensor:
        """Give ``(..., S)`` float32."""

    @abstractmethod
    def choices(self, batch: TensorDictBase) -> Tensor:
        """Give ``(..., C, A)`` float32."""

    def allowed(self, batch: TensorDictBase) -> Tensor | None:
        """Say which choices are open, ``(..., C)`` bool; None means all."""
        return None

    def chosen(self, batch: TensorDictBase) -> Tensor:
        """Give the vector ``(..., A)`` of the choice that ``action`` names."""
        choices, action = self.choices(batch), batch[Key.ACTION]
        column = action.unsqueeze(-1).expand(*action.shape, choices.shape[-1])
        return choices.gather(-2, column).squeeze(-2)


class VectorFeatures(Features):
    """A state is a vector under ``observation``, the choices are always the same few.

    :param size: length of the observations.
    :param num_choices: C.
    :param absorbing: whether states of the key ``absorbing`` are marked: the vector is then 0, and
        one more number is 1 (Kostrikov et al. 2019).
    :param limit: how many standard deviations of the demonstrations away a number is cut.
    """

    mean: Tensor
    scale: Tensor
    one_hot: Tensor

    def __init__(
        self, size: int, num_choices: int, *, absorbing: bool = False, limit: float = 10.0
    ) -> None:
        super().__init__()
        self.keys = (Key.OBSERVATION, Key.ABSORBING) if absorbing else (Key.OBSERVATION,)
        self.absorbing = absorbing
        self.limit = limit
        self.state_size = size + absorbing
        self.choice_size = num_choices
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("one_hot", torch.eye(num_choices))

    def fit(self, observations: Tensor) -> "VectorFeatures":
        """Centre and scale by observations ``(..., size)``, such as the demonstrations'."""
        flat = observations.flatten(0, -2)
        self.mean.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp_min(1e-6))
        return self

    def states(self, batch: TensorDictBase) -> Tensor:
        """Give the standardised observation, and whether the state absorbs."""
        vector = (batch[Key.OBSERVATION] - self.mean) / self.scale
        vector = vector.clamp(-self.limit, self.limit)
        if not self.absorbing:
            return vector
        over = batch[Key.ABSORBING].to(vector)
        return torch.cat([vector * (1 - over), over], -1)

    def choices(self, batch: TensorDictBase) -> Tensor:
        """Give unit vectors; zeros where a state absorbs: what is done there does not count."""
        choices = self.one_hot.expand(*batch[Key.OBSERVATION].shape[:-1], *self.one_hot.shape)
        if not self.absorbing:
            return choices
        return choices * ~batch[Key.ABSORBING].unsqueeze(-1)


class CandidateFeatures(Features):
    """A state is the last choices, the choices open are the candidates and nothing.

    An item is its vector, and a part that is learned for each item by itself. A state is a few
    sums over the last choices, with learned weights of their positions. Choosing nothing is the
    last column, C, and item N + 1 in the history.

    :param num_items: N.
    :param vector_size: length D of the item vectors, which :meth:`set_items` fills in.
    :param history_length: L, how many of a history's last steps count.
    :param identity_size: length I of what is learned for each item.
    :param pools: number P of sums.
    """

    vectors: Tensor

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        identity_size: int = 8,
        pools: int = 4,
    ) -> None:
        super().__init__()
        self.keys = (Key.HISTORY, Key.CANDIDATES)
        self.offers = True
        self.num_items = num_items
        self.history_length = history_length
        self.choice_size = vector_size + identity_size + 1
        self.anchor = self.choice_size - 1
        self.state_size = pools * self.choice_size
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        self.identity = nn.Parameter(0.1 * torch.randn(num_items + 1, identity_size))
        # Half-lives from one step to the whole history; the last column is the latest step.
        half_lives = torch.logspace(0, math.log2(max(history_length, 1)), pools, base=2)
        age = torch.arange(history_length - 1, -1, -1)
        weights = 0.5 ** (age / half_lives.unsqueeze(-1))
        self.weights = nn.Parameter(weights / weights.sum(-1, keepdim=True).sqrt())

    def set_items(self, vectors: Tensor) -> "CandidateFeatures":
        """Fill the item table; vectors are centred and brought to unit mean square.

        :param vectors: (N + 1, D) float32; row 0 is ignored.
        """
        items = vectors[1:].to(self.vectors)
        items = items - items.mean(0)
        self.vectors[1:] = items / items.square().mean().sqrt().clamp_min(1e-8)
        return self

    def states(self, batch: TensorDictBase) -> Tensor:
        """Give the sums, ``(..., P · A)``."""
        past = embedding(batch[Key.HISTORY][..., -self.history_length :], self._table())
        return torch.einsum("pl,...la->...pa", self.weights, past).flatten(-2)

    def choices(self, batch: TensorDictBase) -> Tensor:
        """Give the candidates' rows, and nothing's in the last column: ``(..., C + 1, A)``."""
        return embedding(self._columns(batch), self._table())

    def chosen(self, batch: TensorDictBase) -> Tensor:
        """Give the row of what was chosen, without those of the others."""
        taken = self._columns(batch).gather(-1, batch[Key.ACTION]).squeeze(-1)
        return embedding(taken, self._table())

    def allowed(self, batch: TensorDictBase) -> Tensor:
        """Say that padding is no choice."""
        return self._columns(batch) != PADDING

    def _columns(self, batch: TensorDictBase) -> Tensor:
        return pad(batch[Key.CANDIDATES], (0, 1), value=self.num_items + 1)

    def _table(self) -> Tensor:
        """Rows (N + 2, A): padding is zero, and nothing is a direction of its own."""
        items = torch.cat([self.vectors, self.identity], -1)[1:]
        table = pad(items, (0, 1, 1, 1))
        nothing = torch.zeros_like(table)
        nothing[-1, -1] = 1
        return table + nothing
