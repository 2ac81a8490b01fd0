"""Learners of rewards from choices that are compared with maximum entropy."""

from typing import Literal

import torch
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.part import Part
from lightrec.users.choice_model import ChoiceModel, blocks, with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.irl import (
    Make,
    MaxEnt,
    RewardLearner,
    RewardModel,
    chosen,
    mean,
    recent,
)


class RewardWeightedLikelihood(RewardLearner):
    """The recommender that maximises the mean of Σ_t r_t · log π(a_t | s_t) over the log's steps.

    π is a softmax of the utilities over the set and nothing. This is the surrogate of the policy
    gradient only where the actions were drawn from π itself and r_t is the return from t on, or an
    advantage. With single rewards it ignores later effects of an action; with positive rewards
    alone every action taken becomes likelier, and with negative ones it grows without bound as π
    gives the actions taken no probability at all.

    :param reward: r_t: ``engagement`` is 1 for an item and 0 for nothing, so that declined offers
        teach nothing; ``probability-log`` is p·log p of π's own probability p of the choice, held
        constant: never positive, it makes the choice *less* likely.
    """

    def __init__(self, reward: Literal["engagement", "probability-log"] = "engagement") -> None:
        super().__init__()
        self.reward = reward

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the weighted log-likelihood."""
        values = with_nothing(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]))
        log_p = chosen(values.log_softmax(-1), batch)
        if self.reward == "engagement":
            weight = (batch[Key.CHOICE] < batch[Key.CANDIDATES].shape[1]).to(log_p.dtype)
        else:
            weight = (log_p.exp() * log_p).detach()
        return -mean(weight * log_p, batch)


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


class TasteMixture(RewardLearner):
    """K kinds of people, each with a reward and a W of its own: P(i | s) = Σ_k g_k(s) P_k(i | s).

    :param kinds: K.
    :param memory: how many of the last steps a kind's own reward reads. One that reads the whole
        history distinguishes kinds by itself, and leaves nothing to the mixture.
    """

    def __init__(self, kinds: int = 2, memory: int = 3) -> None:
        super().__init__()
        if kinds < 2:
            raise RecipeError(f"kinds is {kinds}; a mixture has two kinds of people or more.")
        self.kinds, self.memory = kinds, memory
        self.parts = nn.ModuleList(MaxEnt() for _ in range(kinds))

    def build(self, make: Make, discount: float) -> None:
        """Make the parts, which differ by their random beginnings, and the gate."""
        for part in self._learners:
            part.build(make, discount)
        self.gate = Gate(make(), self.kinds)

    def stepped(self) -> None:
        """Move the averaged copies of W."""
        for part in self._learners:
            part.stepped()

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the mixture's log-likelihood, and each kind's error of W by its share in a row."""
        short = batch | {Key.HISTORY: recent(batch[Key.HISTORY], self.memory)}
        parts = [part.terms(short, progress) for part in self._learners]
        likely, errors = (torch.stack(terms, 1) for terms in zip(*parts, strict=True))
        weights = blocks(self.gate(batch[Key.HISTORY]), len(likely))
        joint = weights + likely
        share = joint.detach().softmax(1)
        return mean((share * errors).sum(1) / 2 - joint.logsumexp(1), batch)

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Log-odds against nothing (M · B, C) under the mixture."""
        short = recent(history, self.memory)
        each = [with_nothing(part.utilities(short, items)) for part in self._learners]
        log_p = torch.stack([values.log_softmax(1) for values in each])
        weights = blocks(self.gate(history), len(items)).T.unsqueeze(2)
        mixed = (weights + log_p).logsumexp(0)
        return mixed[:, :-1] - mixed[:, -1:]

    def reward_model(self) -> RewardModel:
        """The first kind's reward and the others', weighted by the gate."""
        first, *others = (part.reward_network for part in self._learners)
        return RewardModel(first, others=others, gate=self.gate, memory=self.memory)

    @property
    def _learners(self) -> list[MaxEnt]:
        return [part for part in self.parts if isinstance(part, MaxEnt)]
