"""What learners that imitate in a simulator share: networks of policies, and how they are moved.

A learner acts, and says on which losses it wants to be moved, one set at a time; stepping is the
affair of :class:`~lightrec.learners.imitation.module.ImitationModule`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.learners.imitation.features import Features
from lightrec.learners.imitation.networks import ChoiceScore, perceptron
from lightrec.nn.plackett_luce import PlackettLuce

Losses = dict[str, Tensor]
"""What starts with ``loss`` is summed and stepped on; the rest is looked at."""


class Actor(TensorDictModuleBase):
    """Writes the ``logits`` of a state's choices, minus infinity where one is not allowed."""

    def __init__(self, features: Features, hidden: Sequence[int]) -> None:
        super().__init__()
        self.features = features
        self.in_keys = list(features.keys)
        self.out_keys = ["logits"]
        self.network = ChoiceScore(features.state_size, features.choice_size, hidden)

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add ``logits`` (..., C)."""
        return state.set("logits", self.logits(state))

    def logits(self, state: TensorDictBase) -> Tensor:
        """Give ``(..., C)``."""
        features = self.features
        logits: Tensor = self.network(features.states(state), features.choices(state))
        allowed = features.allowed(state)
        return logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)


class Critic(TensorDictModuleBase):
    """Writes the ``state_value`` (..., 1) of a state.

    Where choices differ from state to state, what is on offer is a part of the value: the logarithm
    of a sum of exponentials over the choices' scores, the form that soft values have.
    """

    def __init__(self, features: Features, hidden: Sequence[int]) -> None:
        super().__init__()
        self.features = features
        self.in_keys = list(features.keys)
        self.out_keys = ["state_value"]
        self.network: nn.Module = (
            ChoiceScore(features.state_size, features.choice_size, hidden)
            if features.offers
            else perceptron([features.state_size, *hidden, 1])
        )

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add ``state_value`` (..., 1)."""
        features = self.features
        if not features.offers:
            return state.set("state_value", self.network(features.states(state)))
        scores = self.network(features.states(state), features.choices(state))
        allowed = features.allowed(state)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return state.set("state_value", scores.logsumexp(-1, keepdim=True))


class ImitationLearner(nn.Module, ABC):
    """Imitates demonstrations by acting in a simulator.

    :param features: what is seen of states and choices; each network gets a copy of its own.
    """

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.keys = tuple(features.keys)

    @abstractmethod
    def logits(self, state: TensorDictBase) -> Tensor:
        """Give the policy's logits ``(..., C)``, minus infinity for choices not allowed."""

    @abstractmethod
    def updates(self, rollout: TensorDict, demonstrations: TensorDict) -> Iterator[Losses]:
        """Learn from what was just played: each losses given are stepped on before the next.

        :param rollout: ``(B, T)`` transitions of the present policy.
        :param demonstrations: ``(N,)`` transitions of the expert.
        """

    @torch.no_grad()
    def act(self, state: TensorDictBase, deterministic: bool = False) -> TensorDictBase:
        """Write ``action`` (B, 1) and its log-probability ``action_log_prob`` (B,) into a state."""
        law = PlackettLuce(self.logits(state))
        action = law.mode if deterministic else law.sample()
        state[Key.LOG_PROBABILITY] = law.log_prob(action)
        return state.set(Key.ACTION, action)


def draw(rows: TensorDict, number: int) -> TensorDict:
    """Draw so many rows ``(number,)`` evenly, with replacement."""
    return rows[torch.randint(len(rows), (number,), device=rows.device)]
