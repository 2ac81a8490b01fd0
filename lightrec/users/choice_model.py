"""Discrete choice given a history: which item of a set somebody takes, or nothing."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from lightrec.keys import PADDING
from lightrec.nn.part import Part
from lightrec.nn.session import perceptron


class ChoiceModel(Part):
    """P(i | history, set) ∝ exp(utility of i), nothing having utility 0.

    A utility is Q(s, i) - Q(s, nothing), Q being the soft action value of a user who looks ahead
    (Rust 1987; Ziebart et al. 2008). Nothing has reward 0, so the reward follows (Hotz and Miller
    1993): r(s, i) = utility - γ' (W(s after i) - W(s after nothing)), where W(s) is the expected
    value of the next offer, linear in the state, and γ' = discount · (1 - leave rate).

    Utilities are linear in an item's features, so all items cost one matrix product. They are
    calibrated by the buffers ``temperature``, a divisor, and ``nothing_shift``, then subtracted.

    :param num_items: N. Item N + 1 in a history is "chose nothing".
    :param vector_size: length of the item vectors.
    :param history_length: L, how many of a history's last steps count.
    :param state_size: length S of a state.
    :param feature_size: length of the features made of an item's vector.
    :param hidden_size: width of the hidden layers.
    :param identity_size: length of the vector that is learned for each item by itself.
    :param records_nothing: whether choosing nothing enters the history, as item N + 1; otherwise
        it leaves the state unchanged.
    :param discount: γ of one step.
    :param leave_rate: probability that a session ends after a step.
    :param people: users U and features G of their attributes, which move the tastes of those who
        are known by name; see :mod:`lightrec.data.attributes`.
    """

    vectors: Tensor
    people: Tensor
    offsets: Tensor
    discount: Tensor
    leave_rate: Tensor
    temperature: Tensor
    nothing_shift: Tensor
    nothing_recorded: Tensor

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        state_size: int,
        feature_size: int = 32,
        hidden_size: int = 128,
        identity_size: int = 8,
        records_nothing: bool = True,
        discount: float = 0.0,
        leave_rate: float = 0.0,
        people: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.vector_size = vector_size
        self.history_length = history_length
        self.state_size = state_size
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        self.register_buffer("offsets", torch.zeros(num_items + 1))
        # Buffers, because numbers that are fitted later must travel with the weights.
        self.register_buffer("nothing_recorded", torch.tensor(records_nothing))
        numbers = {"discount": discount, "leave_rate": leave_rate}
        for name, number in (numbers | {"temperature": 1.0, "nothing_shift": 0.0}).items():
            self.register_buffer(name, torch.tensor(float(number)))
        inputs = vector_size + identity_size
        self.identity = nn.Parameter(0.1 * torch.randn(num_items + 1, identity_size))
        self.hidden = nn.Sequential(nn.Linear(inputs, hidden_size), nn.SiLU())
        self.as_past = nn.Linear(hidden_size + inputs, feature_size)
        self.as_candidate = nn.Linear(hidden_size + inputs, feature_size)
        self.past_nothing = nn.Parameter(0.1 * torch.randn(feature_size))
        self.bias = nn.Parameter(torch.zeros(num_items + 1))
        self.offset_weight = nn.Parameter(torch.ones(()))
        sizes = [state_size, hidden_size, feature_size + 1]
        self.head = perceptron(sizes, activation=nn.SiLU)
        self.linear_head = nn.Linear(state_size, feature_size + 1, bias=False)
        self.value = nn.Linear(state_size, 1)
        # Zeros draw nothing, so that all else starts as it does without.
        self.profile = nn.Parameter(torch.zeros(people[1], feature_size + 1)) if people[1] else None
        if people[1]:
            self.register_buffer("people", torch.zeros(*people))

    @property
    def records_nothing(self) -> bool:
        """Whether choosing nothing enters the history."""
        return bool(self.nothing_recorded)

    @property
    def survival_discount(self) -> float:
        """γ' = discount · (1 - leave rate)."""
        return float(self.discount) * (1 - float(self.leave_rate))

    def set_items(self, vectors: Tensor, offsets: Tensor | None = None) -> None:
        """Fill the item table; vectors are centred and brought to unit mean square.

        :param vectors: (N + 1, vector_size); row 0 is ignored.
        :param offsets: (N + 1,) scores for all users, such as the items' log popularity, which
            enter utilities with a learned weight; row 0 is ignored.
        """
        items = vectors[1:].to(self.vectors)
        items = items - items.mean(0)
        self.vectors[1:] = items / items.square().mean().sqrt().clamp_min(1e-8)
        if offsets is not None:
            scores = offsets[1:].to(self.offsets)
            self.offsets[1:] = scores - scores.mean()

    @abstractmethod
    def state(self, history: Tensor) -> Tensor:
        """States (B, S) of histories (B, any length), padded on the left; the last L count."""

    @abstractmethod
    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """States (B, C, S) when each of items (B, C), in turn, is added to histories (B, any)."""

    def set_people(self, features: Tensor) -> None:
        """Take the features (U, G) of users, which are centred: who is not known is the mean."""
        self.people.copy_(features - features.mean(0))

    def tastes(self, state: Tensor, user: Tensor | None = None) -> Tensor:
        """Weights of the items' features: (B, F + 1), the last column being a level for all.

        :param user: (B,) int64, rows of the user table; None where nobody is known.
        """
        tastes: Tensor = self.head(state) + self.linear_head(state)
        if self.profile is not None and user is not None:
            tastes = tastes + self.people[user] @ self.profile
        return tastes

    def item_features(self) -> tuple[Tensor, Tensor]:
        """Features (N + 1, F) and constants (N + 1,) in which utilities are linear."""
        features: Tensor = self.as_candidate(self._features())
        return features, self.bias + self.offset_weight * self.offsets

    def utilities(
        self, state: Tensor, items: Tensor | None = None, user: Tensor | None = None
    ) -> Tensor:
        """Q(s, i) - Q(s, nothing), in nats.

        :param state: (B, S).
        :param items: (B, C) int64, or None for all items.
        :param user: (B,) int64, see :meth:`tastes`.
        :returns: (B, C), or (B, N + 1); minus infinity for padding.
        """
        tastes = self.tastes(state, user)
        taste, level = tastes[:, :-1], tastes[:, -1:]
        features, constant = self.item_features()
        if items is None:
            scores = torch.addmm(constant, taste, features.T) + level
            items = torch.arange(self.num_items + 1, device=scores.device)
        else:
            scores = torch.einsum("bd,bcd->bc", taste, embedding(items, features)) + level
            scores = scores + embedding(items, constant.unsqueeze(-1)).squeeze(-1)
        scores = scores / self.temperature - self.nothing_shift
        return scores.masked_fill(items == PADDING, -torch.inf)

    def log_probabilities(
        self, history: Tensor, items: Tensor, user: Tensor | None = None
    ) -> Tensor:
        """Log-probabilities of sets, and of nothing in the last column.

        :param history: (B, any length) int64.
        :param items: (M · B, C) int64: M blocks of sets, each in the order of the histories.
        :param user: (B,) or (M · B,) int64, see :meth:`tastes`.
        :returns: (M · B, C + 1).
        """
        return self.law(self.state(history), items, user)

    def law(self, state: Tensor, items: Tensor, user: Tensor | None = None) -> Tensor:
        """The same as :meth:`log_probabilities`, from the states (B, S) of the histories."""
        user = None if user is None else blocks(user, len(items))
        utilities = self.utilities(blocks(state, len(items)), items, user)
        return with_nothing(utilities).log_softmax(-1)

    def continuation(self, state: Tensor) -> Tensor:
        """W (...,): the expected value of the next offer in states (..., S)."""
        return self.value(state).squeeze(-1)

    def after_nothing(self, history: Tensor) -> Tensor:
        """States (B, S) when nothing is chosen after histories (B, any length)."""
        if not self.records_nothing:
            return self.state(history)
        nothing = torch.full_like(history[:, :1], self.num_items + 1)
        return self.after(history, nothing).squeeze(1)

    def reward(self, history: Tensor, items: Tensor, user: Tensor | None = None) -> Tensor:
        """Rewards (B, C) of items (B, C), in nats, nothing being worth 0; -inf for padding."""
        utilities = self.utilities(self.state(history), items, user)
        if self.survival_discount == 0:
            return utilities
        gain = self.continuation(self.after(history, items))
        idle = self.continuation(self.after_nothing(history)).unsqueeze(-1)
        return utilities - self.survival_discount * (gain - idle)

    def prior(self, identity_precision: float = 1.0) -> Tensor:
        """Minus the log-density, up to a constant, of a Gaussian prior on each item's own part.

        :param identity_precision: of the learned item vectors; biases have unit variance.
        """
        return (self.bias.square().sum() + identity_precision * self.identity.square().sum()) / 2

    def _features(self) -> Tensor:
        inputs = torch.cat([self.vectors, self.identity], -1)
        return torch.cat([self.hidden(inputs), inputs], -1)

    def past_items(self) -> Tensor:
        """Features of items in a history: (N + 2, F), zeros for padding, nothing in the last."""
        items = self.as_past(self._features())[1:]
        return torch.cat([pad(items, (0, 0, 1, 0)), self.past_nothing.unsqueeze(0)])

    def _last(self, history: Tensor) -> Tensor:
        missing = self.history_length - history.shape[1]
        return pad(history, (missing, 0)) if missing > 0 else history[:, -self.history_length :]


class PooledChoice(ChoiceModel):
    """The state is a few sums over the last items, with a learned weight for each position.

    :param pools: number of sums.
    :param settings: further arguments of :class:`ChoiceModel`.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        pools: int = 4,
        feature_size: int = 32,
        **settings: Any,
    ) -> None:
        size, settings["feature_size"] = pools * feature_size, feature_size
        super().__init__(num_items, vector_size, history_length, state_size=size, **settings)
        # Half-lives from one step to the whole history; the last column is the latest step.
        half_lives = torch.logspace(0, math.log2(max(history_length, 1)), pools, base=2)
        age = torch.arange(history_length - 1, -1, -1)
        weights = 0.5 ** (age / half_lives.unsqueeze(-1))
        self.weights = nn.Parameter(weights / weights.sum(-1, keepdim=True).sqrt())

    def state(self, history: Tensor) -> Tensor:
        """States (B, pools · features)."""
        past = embedding(self._last(history), self.past_items())
        return torch.einsum("kl,bld->bkd", self.weights, past).flatten(1)

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """States (B, C, pools · features) after one more item."""
        table = self.past_items()
        past = embedding(self._last(history)[:, 1:], table)
        shifted = torch.einsum("kl,bld->bkd", self.weights[:, :-1], past).unsqueeze(1)
        latest = torch.einsum("k,bcd->bckd", self.weights[:, -1], embedding(items, table))
        return (shifted + latest).flatten(2)


class RecurrentChoice(ChoiceModel):
    """The state is that of a gated recurrent unit after the last items.

    :param state_size: length of the state.
    :param settings: further arguments of :class:`ChoiceModel`.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        history_length: int = 20,
        *,
        state_size: int = 64,
        **settings: Any,
    ) -> None:
        super().__init__(num_items, vector_size, history_length, state_size=state_size, **settings)
        self.unit = nn.GRU(len(self.past_nothing), state_size, batch_first=True)

    def state(self, history: Tensor) -> Tensor:
        """States (B, state_size)."""
        return self._read(history[:, -self.history_length :])

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """States (B, C, state_size) after one more item."""
        before = self._read(self._last(history)[:, 1:]).unsqueeze(1)
        before = before.expand(-1, items.shape[1], -1).flatten(0, 1)
        latest = embedding(items, self.past_items()).flatten(0, 1)
        moved = torch.gru_cell(latest, before, *self.unit.all_weights[0])
        read = (items != PADDING).flatten().unsqueeze(-1)
        return torch.where(read, moved, before).unflatten(0, items.shape)

    def _read(self, history: Tensor) -> Tensor:
        # Padding goes to the right, where it comes after the state that counts.
        length = (history != PADDING).sum(1)
        steps = torch.arange(history.shape[1], device=history.device)
        moved = (steps - length.unsqueeze(1)) % max(history.shape[1], 1)
        states, _ = self.unit(embedding(history.gather(1, moved), self.past_items()))
        last = (length - 1).clamp_min(0)
        state = states[torch.arange(len(states), device=history.device), last]
        return state * (length > 0).unsqueeze(-1)


def blocks(values: Tensor, rows: int) -> Tensor:
    """Repeat the rows of histories (B, ...) for all blocks of sets: (rows, ...)."""
    return values.repeat(rows // len(values), *[1] * (values.ndim - 1))


def with_nothing(utilities: Tensor, nothing: Tensor | None = None) -> Tensor:
    """Add nothing, in the last column, to utilities (R, C): 0, or its own (R,)."""
    if nothing is None:
        return pad(utilities, (0, 1))
    return torch.cat([utilities, nothing.unsqueeze(1)], 1)
