"""The two classes of choice models: how a history of items becomes a state."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.keys import PADDING
from lightrec.users.choice_model import ChoiceModel

__all__ = ["ChoiceModel", "PooledChoice", "RecurrentChoice"]


class PooledChoice(ChoiceModel):
    """The state is a few sums over the last items, with a learned weight for each position.

    Other parameters are those of :class:`ChoiceModel`.

    :param pools: number of sums.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        pools: int = 4,
        feature_size: int = 32,
        hidden_size: int = 128,
        identity_size: int = 8,
        records_nothing: bool = True,
        discount: float = 0.0,
        leave_rate: float = 0.0,
    ) -> None:
        super().__init__(
            num_items,
            vector_size,
            history_length,
            state_size=pools * feature_size,
            feature_size=feature_size,
            hidden_size=hidden_size,
            identity_size=identity_size,
            records_nothing=records_nothing,
            discount=discount,
            leave_rate=leave_rate,
        )
        # Half-lives from one step to the whole history; the last column is the latest step.
        half_lives = torch.logspace(0, math.log2(max(history_length, 1)), pools, base=2)
        age = torch.arange(history_length - 1, -1, -1)
        weights = 0.5 ** (age / half_lives.unsqueeze(-1))
        self.weights = nn.Parameter(weights / weights.sum(-1, keepdim=True).sqrt())

    def state(self, history: Tensor) -> Tensor:
        """States (B, pools · features)."""
        past = embedding(_last(history, self.history_length), self._past())
        return torch.einsum("kl,bld->bkd", self.weights, past).flatten(1)

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """States (B, C, pools · features) after one more item."""
        table = self._past()
        past = embedding(_last(history, self.history_length)[:, 1:], table)
        shifted = torch.einsum("kl,bld->bkd", self.weights[:, :-1], past).unsqueeze(1)
        latest = torch.einsum("k,bcd->bckd", self.weights[:, -1], embedding(items, table))
        return (shifted + latest).flatten(2)


class RecurrentChoice(ChoiceModel):
    """The state is what a gated recurrent unit keeps of the last items.

    Other parameters are those of :class:`ChoiceModel`.

    :param state_size: length of the state.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        state_size: int = 64,
        feature_size: int = 32,
        hidden_size: int = 128,
        identity_size: int = 8,
        records_nothing: bool = True,
        discount: float = 0.0,
        leave_rate: float = 0.0,
    ) -> None:
        super().__init__(
            num_items,
            vector_size,
            history_length,
            state_size=state_size,
            feature_size=feature_size,
            hidden_size=hidden_size,
            identity_size=identity_size,
            records_nothing=records_nothing,
            discount=discount,
            leave_rate=leave_rate,
        )
        self.unit = nn.GRU(feature_size, state_size, batch_first=True)

    def state(self, history: Tensor) -> Tensor:
        """States (B, state_size)."""
        return self._read(_last(history, self.history_length))

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """States (B, C, state_size) after one more item."""
        before = self._read(_last(history, self.history_length)[:, 1:]).unsqueeze(1)
        before = before.expand(-1, items.shape[1], -1).flatten(0, 1)
        latest = embedding(items, self._past()).flatten(0, 1)
        moved = torch.gru_cell(latest, before, *self.unit.all_weights[0])
        read = (items != PADDING).flatten().unsqueeze(-1)
        return torch.where(read, moved, before).unflatten(0, items.shape)

    def _read(self, history: Tensor) -> Tensor:
        # Padding goes to the right, where it comes after the state that counts.
        length = (history != PADDING).sum(1)
        steps = torch.arange(history.shape[1], device=history.device)
        moved = (steps - length.unsqueeze(1)) % max(history.shape[1], 1)
        states, _ = self.unit(embedding(history.gather(1, moved), self._past()))
        last = (length - 1).clamp_min(0)
        state = states[torch.arange(len(states), device=history.device), last]
        return state * (length > 0).unsqueeze(-1)


def _last(history: Tensor, length: int) -> Tensor:
    missing = length - history.shape[1]
    return pad(history, (missing, 0)) if missing > 0 else history[:, -length:]
