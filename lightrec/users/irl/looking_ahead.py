"""Inverse reinforcement learning of people who look ahead, from choices with known sets."""

import copy

import torch
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.users.choice_model import blocks, with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.irl.base import Make, RewardLearner, chosen, mean
from lightrec.users.reward_model import Continuation, average

ANYWHERE = 0.6
"""Deviation of the initial weights of nothing's reward where it is free, of some nats: learning
that begins near the truth also ends near it."""
RATE = 0.02
"""The share of a step by which averaged copies of W move."""
RAMP = 0.15
"""The share of training in which γ' rises to its value."""


class LookingAhead(RewardLearner):
    """Base of learners with a network of rewards, W next to it, and an averaged copy of W."""

    discount = 0.0

    def build(self, make: Make, discount: float) -> None:
        """Make the reward network, W, and its averaged copy."""
        super().build(make, discount)
        self.discount = discount
        self.value = Continuation(make())
        self.slow = copy.deepcopy(self.value).requires_grad_(False)

    def stepped(self) -> None:
        """Move the averaged copy of W."""
        average(self.slow, self.value, RATE)

    def discount_at(self, progress: float) -> float:
        """γ' at a point of the training, from 0 to 1."""
        return self.discount * min(1.0, progress / RAMP)


class MaxEnt(LookingAhead):
    """The reward under which the log's choices are likeliest, by maximum entropy.

    People choose with probability ∝ exp Q, Q(s, i) = r(s, i) + γ' W(s after i). W(s), the mean of
    log Σ exp Q over the offers of s, is a network that follows its own targets (Ziebart et al.
    2010; fitted soft value iteration in place of the nested solution of Rust 1987).

    Here the reward is the network that priors keep simple; in the two-step estimator it is Q.

    :param anchored: whether nothing has reward 0. If its reward is learned, choices are explained
        as well and the reward is arbitrary: a number may be added to the rewards of all choices in
        s, nothing included, and subtracted from those that lead to s. The option shows just that.
    """

    def __init__(self, anchored: bool = True) -> None:
        super().__init__()
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
