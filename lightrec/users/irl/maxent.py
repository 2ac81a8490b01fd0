"""Maximum-entropy inverse reinforcement learning from choices with known sets.

People choose with probability ∝ exp Q, Q(s, i) = r(s, i) + γ' W(s after i). W(s), the mean of
log Σ exp Q over the offers of s, is a network that follows its own targets (Ziebart et al. 2010;
fitted soft value iteration in place of the nested solution of Rust 1987).
"""

import torch
from torch import Tensor, nn

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.users.choice_model import blocks, with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.irl.base import LookingAhead, Make, RewardLearner, chosen, mean
from lightrec.users.reward_model import Gate, RewardModel, recent

ANYWHERE = 0.6
"""Deviation of the initial weights of nothing's reward where it is free, of some nats: learning
that begins near the truth also ends near it."""


class MaxEnt(LookingAhead):
    """The reward under which the log's choices are likeliest, by maximum entropy.

    Here the reward is the network that priors keep simple; in the two-step estimator it is Q.

    :param anchored: whether nothing has reward 0. If its reward is learned, choices are explained
        as well and the reward is arbitrary: a number may be added to the rewards of all choices in
        s, nothing included, and subtracted from those that lead to s. The option shows just that.
    :param rate: the share of a step by which the averaged copy of W moves.
    :param ramp: the share of training in which γ' rises to its value.
    """

    def __init__(self, anchored: bool = True, rate: float = 0.02, ramp: float = 0.15) -> None:
        super().__init__(rate, ramp)
        self.anchored = anchored

    def build(self, make: Make, discount: float) -> None:
        """Make r and W, and nothing's reward where that is free."""
        super().build(make, discount)
        self.nothing = None
        if not self.anchored:
            self.nothing = nn.Linear(self.reward_network.state_size, 1)
            nn.init.normal_(self.nothing.weight, std=ANYWHERE)

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the log-likelihood, and half W's squared error."""
        likely, error = self.terms(batch, progress)
        return mean(error / 2 - likely, batch)

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, Tensor]:
        """Log-likelihoods of the choices, and W's squared errors: (R,) each."""
        history, items = batch[Key.HISTORY], batch[Key.CANDIDATES]
        discount = self.discount_at(progress)
        values, idle = self._values(history, items, discount)
        likely = chosen(values.log_softmax(-1), batch)
        target = (discount * idle + values.logsumexp(-1)).detach()
        error = blocks(self.value(history), len(items)) - target
        return likely, error.square()

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give Q(s, i) - Q(s, nothing), by the averaged W."""
        values, _ = self._values(history, items, self.discount)
        return values[:, :-1] - values[:, -1:]

    def _values(self, history: Tensor, items: Tensor, discount: float) -> tuple[Tensor, Tensor]:
        """Q - γ' W(s after nothing), which is the same for all of a set, (R, C + 1); and W (R,)."""
        with torch.no_grad():
            idle = blocks(self.slow.after_nothing(history), len(items))
            gain = torch.zeros_like(items, dtype=idle.dtype)
            if self.discount:
                gain = self.slow.after(blocks(history, len(items)), items) - idle.unsqueeze(1)
        state = blocks(self.reward_network.state(history), len(items))
        rewards = self.reward_network.utilities(state, items)
        nothing = None if self.nothing is None else self.nothing(state).squeeze(1)
        return with_nothing(rewards + discount * gain, nothing), idle


class TasteMixture(RewardLearner):
    """K kinds of people, each with a reward and a W of its own: P(i | s) = Σ_k g_k(s) P_k(i | s).

    :param kinds: K.
    :param memory: how many of the last steps a kind's own reward reads. One that reads the whole
        history distinguishes kinds by itself, and leaves nothing to the mixture.
    :param rate: the share of a step by which the averaged copies of W move.
    :param ramp: the share of training in which γ' rises to its value.
    """

    def __init__(
        self, kinds: int = 2, memory: int = 3, rate: float = 0.02, ramp: float = 0.15
    ) -> None:
        super().__init__()
        if kinds < 2:
            raise RecipeError(f"kinds is {kinds}; a mixture has two kinds of people or more.")
        self.kinds, self.memory = kinds, memory
        self.parts = nn.ModuleList(MaxEnt(rate=rate, ramp=ramp) for _ in range(kinds))

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
        """Give log-odds against nothing (M · B, C) under the mixture."""
        short = recent(history, self.memory)
        each = [with_nothing(part.utilities(short, items)) for part in self._learners]
        log_p = torch.stack([values.log_softmax(1) for values in each])
        weights = blocks(self.gate(history), len(items)).T.unsqueeze(2)
        mixed = (weights + log_p).logsumexp(0)
        return mixed[:, :-1] - mixed[:, -1:]

    def reward_model(self) -> RewardModel:
        """Give the first kind's reward and the others', weighted by the gate."""
        first, *others = (part.reward_network for part in self._learners)
        return RewardModel(first, others=others, gate=self.gate, memory=self.memory)

    @property
    def _learners(self) -> list[MaxEnt]:
        return [part for part in self.parts if isinstance(part, MaxEnt)]
