"""Rewards with networks of their own, as learners leave them next to a choice model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightrec.keys import PADDING
from lightrec.nn.part import Part
from lightrec.nn.session import perceptron
from lightrec.users.choice_model import ChoiceModel


class Continuation(Part):
    """W(s), the expected value of the next offer, by a network of its own over histories.

    :param trunk: turns histories into states; its utilities are not used. States that are fitted to
        choices would be coarser, and be spoilt by the errors of W.
    :param hidden_size: width of two hidden layers.
    """

    def __init__(self, trunk: ChoiceModel, hidden_size: int = 64) -> None:
        super().__init__()
        self.trunk, self.hidden_size = trunk, hidden_size
        sizes = [self.trunk.state_size, hidden_size, hidden_size, 1]
        self.network = perceptron(sizes, activation=nn.SiLU)
        self.linear = nn.Linear(self.trunk.state_size, 1, bias=False)

    def forward(self, history: Tensor) -> Tensor:
        """W (B,) of histories (B, any length)."""
        return self._of(self.trunk.state(history))

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """W (B, C) when each of items (B, C), in turn, is added to histories (B, any length)."""
        return self._of(self.trunk.after(history, items))

    def after_nothing(self, history: Tensor) -> Tensor:
        """W (B,) when nothing is chosen after histories (B, any length)."""
        return self._of(self.trunk.after_nothing(history))

    def _of(self, state: Tensor) -> Tensor:
        value: Tensor = self.network(state) + self.linear(state)
        return value.squeeze(-1)


class Gate(Part):
    """Assigns people to one of K kinds, by the states that a trunk makes of their histories."""

    def __init__(self, trunk: ChoiceModel, kinds: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = nn.Linear(self.trunk.state_size, kinds)

    def forward(self, history: Tensor) -> Tensor:
        """Log-probabilities (B, K) of the kinds, of histories (B, any length)."""
        logits: Tensor = self.linear(self.trunk.state(history))
        return logits.log_softmax(1)


class RewardModel(Part):
    """A learned reward r(s, i), in nats and relative to nothing.

    r(s, i) = utility of i - γ' (W(s after i) - W(s after nothing)); without W the utility alone. Of
    several kinds of people each has a reward, and r is their mean, weighted by the gate.

    :param network: the model whose utilities count.
    :param continuation: W, where the utilities are values and not rewards yet.
    :param discount: γ' = γ · (1 - leave rate).
    :param others: the rewards of further kinds of people.
    :param gate: of the kinds, that of ``network`` first.
    :param memory: how many of the last steps the kinds' rewards read, where there is a gate.
    """

    def __init__(
        self,
        network: ChoiceModel,
        continuation: Continuation | None = None,
        discount: float = 0.0,
        others: Sequence[ChoiceModel] = (),
        gate: Gate | None = None,
        memory: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.continuation = continuation
        self.others = nn.ModuleList(others)
        self.gate = gate
        self.discount, self.memory = discount, memory

    def reward(self, history: Tensor, items: Tensor) -> Tensor:
        """Rewards (B, C) of items (B, C) after histories (B, any length)."""
        if self.gate is not None:
            weights = self.gate(history).exp().unsqueeze(2)
            return (weights * self.by_kind(history, items)).sum(1)
        utilities = self.network.utilities(self.network.state(history), items)
        if self.continuation is None:
            return utilities
        idle = self.continuation.after_nothing(history).unsqueeze(1)
        return utilities - self.discount * (self.continuation.after(history, items) - idle)

    def by_kind(self, history: Tensor, items: Tensor) -> Tensor:
        """Rewards (B, K, C) of each kind of people."""
        each = [self.network, *(model for model in self.others if isinstance(model, ChoiceModel))]
        short = recent(history, self.memory)
        return torch.stack([model.utilities(model.state(short), items) for model in each], 1)


def recent(history: Tensor, steps: int) -> Tensor:
    """Histories (B, L) with padding in place of all but the last steps."""
    age = torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
    return torch.where(age < steps, history, PADDING)


@torch.no_grad()
def average(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target network towards another one by a share (Polyak and Juditsky 1992)."""
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, rate)
