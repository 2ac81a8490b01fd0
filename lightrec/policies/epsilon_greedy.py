"""Epsilon-greedy: any policy's best slate most of the time, else one drawn evenly."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from lightrec import plugins
from lightrec.keys import PADDING, Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import State
from lightrec.nn.slate_law import ItemSlates, columns_at, may_be_shown
from lightrec.policies.base import Policy, RunParts
from lightrec.trust import ARGUMENTS, CLASS


class EpsilonSlates(PlackettLuce):
    """A mixture: one slate with probability 1 - ε, and with probability ε any slate, evenly.

    Any ordered slate of n columns has probability ε / (n (n - 1) ... (n - K + 1)), and the one
    slate has 1 - ε more.

    :param best: ``(..., K)`` int64 columns of the one slate.
    :param allowed: ``(..., C)`` bool: the columns that may be drawn.
    :param epsilon: ε, 0 to 1.
    """

    def __init__(self, best: Tensor, allowed: Tensor, epsilon: float) -> None:
        super().__init__(torch.zeros(allowed.shape, device=best.device), allowed, best.shape[-1])
        self.best, self.epsilon = best, epsilon

    @property
    def mode(self) -> Tensor:
        """The one slate."""
        return self.best

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw slates from torch's global generator: ``(*sample_shape, ..., K)`` int64."""
        shape = (*sample_shape, *self.batch_shape)
        slates = self.best.expand(*shape, self.slate_size).clone()
        explores = torch.rand(shape, device=slates.device) < self.epsilon
        even = self.logits.expand(*shape, -1)[explores]
        slates[explores] = PlackettLuce(even, slate_size=self.slate_size).sample()
        return slates

    def sample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Draw slates and give their log-probabilities under the mixture."""
        slates = self.sample(sample_shape)
        return slates, self.log_prob(slates)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of an ordered slate's probability, ``(...)``."""
        even = super().log_prob(value)
        best = torch.where((value == self.best).all(-1), 0.0, -torch.inf)
        share = torch.tensor([1 - self.epsilon, self.epsilon], device=even.device).log()
        return torch.logaddexp(share[0] + best, share[1] + even)


class EpsilonGreedy(Policy):
    """Shows another policy's best slate, and with probability ε a slate drawn evenly.

    The propensity that is written is that of the whole mixture, whichever part the slate came
    from; see :class:`EpsilonSlates`. For a policy that draws its scores, such as Thompson sampling,
    it is conditional on these.

    :param policy: the other policy, which may continue learning.
    :param epsilon: ε, 0 to 1.
    :param always_drawn: whether it also explores where the best slate is asked for.
    """

    def __init__(self, policy: Policy, epsilon: float = 0.1, always_drawn: bool = False) -> None:
        super().__init__(policy.num_items)
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is {epsilon}; a probability lies between 0 and 1.")
        self.policy, self.epsilon, self.always_drawn = policy, epsilon, always_drawn
        self.reads, self.history_length = policy.reads, policy.history_length

    @classmethod
    def from_run(
        cls, run: RunParts, policy: str | Mapping[str, Any] = "GreedyRankerPolicy", **settings: Any
    ) -> Self:
        """Make the policy around another one of the run.

        :param policy: short name of the other, or a mapping of ``class_path`` and ``init_args``.
        """
        other: Mapping[str, Any] = {CLASS: policy} if isinstance(policy, str) else policy
        kind: type[Policy] = plugins.installed().get("policies", other[CLASS]).load()
        return cls(kind.from_run(run, **other.get(ARGUMENTS, {})), **settings)

    def user_vectors(self, history: Tensor) -> Tensor:
        """The other policy's user vectors ``(B, D)``."""
        return self.policy.user_vectors(history)

    def arrange(self, slate: Tensor) -> Tensor:
        """Rearrange a slate as the other policy does."""
        return self.policy.arrange(slate)

    def distribution(self, state: State, slate_size: int = 1) -> ItemSlates:
        """The law of the mixture."""
        candidates = state.get(Key.CANDIDATES, None)
        best = columns_at(self.policy.distribution(state, slate_size).mode, candidates)
        if (allowed := may_be_shown(state)) is None:
            items = torch.arange(self.num_items + 1, device=best.device)
            allowed = (items > PADDING).expand(*best.shape[:-1], -1)
        return ItemSlates(EpsilonSlates(best, allowed, self.epsilon), candidates)
