"""What people want, as inverse reinforcement learning leaves it beside a choice model.

A learner with networks of its own leaves a :class:`RewardModel`; the two-step estimator needs none,
since its reward is read off the choice model itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lightrec.data.files import save_tensors
from lightrec.keys import PADDING
from lightrec.users.choice_model import ChoiceModel

FOLDER = "reward_model"
"""In a choice model's folder: the reward model that was learned with it."""
SETTINGS = "reward.json"
CONTINUATION = "continuation"
HEAD = "head.safetensors"
GATE = "gate"
KINDS = "kinds"


class Continuation(nn.Module):
    """W(s), the expected value of the next offer, by a network of its own over histories.

    It shares nothing with what it is subtracted from: a value read off the states that the choices
    were fitted with is coarser, and following its error would spoil them.

    :param trunk: turns histories into states; its utilities are not used.
    :param hidden_size: width of two hidden layers.
    """

    def __init__(self, trunk: ChoiceModel, hidden_size: int = 64) -> None:
        super().__init__()
        self.trunk, self.hidden_size = trunk, hidden_size
        self.network = nn.Sequential(
            nn.Linear(trunk.state_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, 1),
        )
        self.linear = nn.Linear(trunk.state_size, 1, bias=False)

    def forward(self, history: Tensor) -> Tensor:
        """W (B,) of histories (B, any length)."""
        return self._of(self.trunk.state(history))

    def after(self, history: Tensor, items: Tensor) -> Tensor:
        """W (B, C) when each of items (B, C), in turn, is added to histories (B, any length)."""
        return self._of(self.trunk.after(history, items))

    def after_nothing(self, history: Tensor) -> Tensor:
        """W (B,) when nothing is chosen after histories (B, any length)."""
        return self._of(self.trunk.after_nothing(history))

    def gain(self, history: Tensor, items: Tensor) -> Tensor:
        """W after items (B, C), less W after nothing: (B, C)."""
        return self.after(history, items) - self.after_nothing(history).unsqueeze(1)

    def save(self, folder: Path) -> None:
        """Write the trunk as a choice model's folder, and the head into it."""
        self.trunk.save_pretrained(folder)
        parts = {**self.network.state_dict(prefix="network.")}
        parts |= self.linear.state_dict(prefix="linear.")
        save_tensors(parts, folder / HEAD)

    @classmethod
    def load(cls, folder: Path) -> "Continuation":
        """Load what :meth:`save` wrote."""
        parts = load_file(folder / HEAD)
        found = cls(ChoiceModel.load(folder), len(parts["network.0.bias"]))
        found.load_state_dict(parts, strict=False)
        return found.eval()

    def _of(self, state: Tensor) -> Tensor:
        value: Tensor = self.network(state) + self.linear(state)
        return value.squeeze(-1)


class Gate(nn.Module):
    """Tells from a history which of several kinds of people somebody is of.

    :param trunk: turns histories into states; its utilities are not used.
    :param kinds: K.
    """

    def __init__(self, trunk: ChoiceModel, kinds: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = nn.Linear(trunk.state_size, kinds)

    def forward(self, history: Tensor) -> Tensor:
        """Log-probabilities (B, K) of the kinds, of histories (B, any length)."""
        logits: Tensor = self.linear(self.trunk.state(history))
        return logits.log_softmax(1)

    def save(self, folder: Path) -> None:
        """Write the trunk as a choice model's folder, and the head into it."""
        self.trunk.save_pretrained(folder)
        save_tensors(self.linear.state_dict(), folder / HEAD)

    @classmethod
    def load(cls, folder: Path) -> "Gate":
        """Load what :meth:`save` wrote."""
        parts = load_file(folder / HEAD)
        found = cls(ChoiceModel.load(folder), len(parts["bias"]))
        found.linear.load_state_dict(parts)
        return found.eval()


class RewardModel(nn.Module):
    """r(s, i), what people want, in nats and relative to nothing.

    r(s, i) = utility of i - γ' (W(s after i) - W(s after nothing)); without W the utility alone.
    Where there are several kinds of people, each has a reward, and what is given is their mean by
    how likely a person is of each kind.

    :param network: whose utilities are meant.
    :param continuation: W, where the utilities are values and not rewards yet.
    :param discount: γ' = γ · (1 - leave rate).
    :param others: the rewards of further kinds of people.
    :param gate: tells the kinds, the one of ``network`` first.
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
        self.network, self.continuation, self.discount = network, continuation, discount
        self.others, self.gate, self.memory = nn.ModuleList(others), gate, memory

    def reward(self, history: Tensor, items: Tensor) -> Tensor:
        """Rewards (B, C) of items (B, C) after histories (B, any length)."""
        if self.gate is not None:
            weights = self.gate(history).exp().unsqueeze(2)
            return (weights * self.by_kind(history, items)).sum(1)
        utilities = self.network.utilities(self.network.state(history), items)
        if self.continuation is None:
            return utilities
        return utilities - self.discount * self.continuation.gain(history, items)

    def by_kind(self, history: Tensor, items: Tensor) -> Tensor:
        """Rewards (B, K, C) of each kind of people."""
        each = [self.network, *(model for model in self.others if isinstance(model, ChoiceModel))]
        short = recent(history, self.memory)
        return torch.stack([model.utilities(model.state(short), items) for model in each], 1)

    def save(self, folder: Path) -> None:
        """Write a folder."""
        self.network.save_pretrained(folder)
        if self.gate is not None:
            self.gate.save(folder / GATE)
        for number, model in enumerate(self.others):
            assert isinstance(model, ChoiceModel)
            model.save_pretrained(folder / KINDS / str(number))
        if self.continuation is not None:
            self.continuation.save(folder / CONTINUATION)
        settings = {"discount": self.discount, "memory": self.memory}
        (folder / SETTINGS).write_text(json.dumps(settings) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "RewardModel":
        """Load what :meth:`save` wrote, in evaluation mode."""
        settings = json.loads((folder / SETTINGS).read_text())
        there = (folder / CONTINUATION).is_dir()
        continuation = Continuation.load(folder / CONTINUATION) if there else None
        gate = Gate.load(folder / GATE) if (folder / GATE).is_dir() else None
        kinds = sorted((folder / KINDS).glob("*"), key=lambda path: int(path.name))
        others = [ChoiceModel.load(kind) for kind in kinds]
        network = ChoiceModel.load(folder)
        return cls(network, continuation, others=others, gate=gate, **settings).eval()


def recent(history: Tensor, steps: int) -> Tensor:
    """Histories (B, L) with padding in place of all but the last steps."""
    age = torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
    return torch.where(age < steps, history, PADDING)


def load_reward(folder: Path | str) -> ChoiceModel | RewardModel:
    """Load what gives rewards in the folder of a stage such as users_a.

    :returns: the reward model that was learned beside the choice model, or else the choice model,
        whose own reward is that of the two-step estimator.
    :raises RunError: where the folder holds neither.
    """
    path = Path(folder) / FOLDER
    if (path / SETTINGS).is_file():
        return RewardModel.load(path)
    return ChoiceModel.load(folder)


@torch.no_grad()
def average(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target network's parameters towards another's by a share (Polyak and Juditsky 1992).

    :param target: of the same shape as ``source``; changed in place.
    :param rate: from 0, nothing, to 1, a copy.
    """
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, rate)
