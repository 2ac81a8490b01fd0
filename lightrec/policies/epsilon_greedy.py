"""Exploring at random: any policy's best slate most of the time, else one drawn evenly."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec import plugins
from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import ItemSlates, columns_at, may_be_shown
from lightrec.policies.base import Policy, RunParts


class EpsilonSlates(PlackettLuce):
    """A mixture: one slate with probability 1 - ε, and with probability ε any slate, evenly.

    The one slate may come up in the even draw too, so that its probability is
    1 - ε + ε / (n (n - 1) ... (n - K + 1)) of n columns, and that of any other ordered slate the
    last term alone.

    :param best: ``(..., K)`` int64 columns of the one slate.
    :param allowed: ``(..., C)`` bool: the columns that the even draw chooses among.
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
        """Logarithm of the probability of exactly this slate in this order: ``(...)``."""
        even = super().log_prob(value)
        best = torch.where((value == self.best).all(-1), 0.0, -torch.inf)
        share = torch.tensor([1 - self.epsilon, self.epsilon], device=even.device).log()
        return torch.logaddexp(share[0] + best, share[1] + even)

    def entropy(self) -> Tensor:
        """Entropy in nats of the first place: ``(...)``."""
        chance = self.epsilon * self.logits.softmax(-1)
        first = self.best[..., :1].clamp_min(0)
        chance = chance.scatter_add(-1, first, torch.full_like(chance[..., :1], 1 - self.epsilon))
        return -torch.special.xlogy(chance, chance).sum(-1)


class EpsilonGreedy(Policy):
    """Shows another policy's best slate, and with probability ε a slate drawn evenly.

    Drawn slates have exactly the law of :class:`EpsilonSlates`, and its logarithm is the propensity
    that is written: of the whole mixture, whichever part the slate came from. Where the best slate
    is asked for it is shown without exploring, as every policy does; see :class:`Drawn`. What draws
    its scores itself, such as Thompson sampling, is mixed given these.

    :param policy: the other policy, which may go on learning.
    :param epsilon: ε, 0 to 1.
    """

    def __init__(self, policy: Policy, epsilon: float = 0.1) -> None:
        super().__init__(policy.num_items)
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is {epsilon}; a probability lies between 0 and 1.")
        self.epsilon = epsilon
        self.policy = policy
        self.reads = self.policy.reads
        self.history_length = self.policy.history_length

    @classmethod
    def from_run(
        cls,
        run: RunParts,
        policy: str = "GreedyEncoderPolicy",
        policy_settings: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Make the policy around another one, which the run makes as well.

        :param policy: its short name among the installed policies.
        :param policy_settings: of its constructor.
        """
        inner: type[Policy] = plugins.installed().get("policies", policy).load()
        return cls(inner.from_run(run, **(policy_settings or {})), **settings)

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the other policy's user vectors ``(B, D)``."""
        return self.policy.user_vectors(history)

    def arrange(self, slate: Tensor) -> Tensor:
        """Rearrange a slate as the other policy does."""
        return self.policy.arrange(slate)

    def distribution(self, state: TensorDictBase, slate_size: int = 1) -> ItemSlates:
        """Give the law of the mixture."""
        candidates = state.get(Key.CANDIDATES, None)
        best = columns_at(self.policy.distribution(state, slate_size).mode, candidates)
        allowed = may_be_shown(state)
        if allowed is None:
            allowed = torch.ones(*best.shape[:-1], self.num_items + 1, device=best.device).bool()
            allowed[..., 0] = False
        return ItemSlates(EpsilonSlates(best, allowed, self.epsilon), candidates)


class Drawn:
    """A contender that shows a policy's drawn slates even where the best ones are asked for.

    What explores is so judged as it explores.

    :param policy: whose slates are shown.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the policy's user vectors ``(B, D)``."""
        return self.policy.user_vectors(history)

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write a slate that is drawn in any case, and its log-probability."""
        return self.policy.act(state, slate_size, deterministic=False)
