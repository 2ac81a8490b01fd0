"""Exploring at random: any policy's best slate most of the time, else one drawn evenly."""

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.nn.part import describe
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.policies.base import Policy


class EpsilonSlates(PlackettLuce):
    """A mixture: one slate with probability 1 - ε, and with probability ε any slate, evenly.

    The one slate may come up in the even draw too, so that its probability is
    1 - ε + ε / (n (n - 1) ... (n - K + 1)) of n columns, and that of any other ordered slate the
    last term alone.

    :param law: whose most probable slate is the one; the even draw chooses among its columns.
    :param epsilon: ε, 0 to 1.
    """

    def __init__(self, law: PlackettLuce, epsilon: float) -> None:
        super().__init__(law.logits, None, law.slate_size)
        self.epsilon = epsilon
        self._even = PlackettLuce(torch.zeros_like(law.logits), law.allowed, law.slate_size)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw slates from torch's global generator: ``(*sample_shape, ..., K)`` int64."""
        shape = (*sample_shape, *self.batch_shape)
        slates = self.mode.expand(*shape, self.slate_size).clone()
        explores = torch.rand(shape, device=slates.device) < self.epsilon
        even = self._even.logits.expand(*shape, -1)[explores]
        slates[explores] = PlackettLuce(even, slate_size=self.slate_size).sample()
        return slates

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability of exactly this slate in this order: ``(...)``."""
        even = self._even.log_prob(value)
        best = torch.where((value == self.mode).all(-1), 0.0, -torch.inf)
        share = torch.tensor([1 - self.epsilon, self.epsilon], device=even.device).log()
        return torch.logaddexp(share[0] + best, share[1] + even)

    def entropy(self) -> Tensor:
        """Entropy in nats of the first place: ``(...)``."""
        chance = self.epsilon * self._even.logits.softmax(-1)
        first = self.mode[..., :1].clamp_min(0)
        chance = chance.scatter_add(-1, first, torch.full_like(chance[..., :1], 1 - self.epsilon))
        return -torch.special.xlogy(chance, chance).sum(-1)


class EpsilonGreedy(Policy):
    """Shows what another policy scores highest, and with probability ε a slate drawn evenly.

    Drawn slates have exactly the law of :class:`EpsilonSlates`, and its logarithm is the propensity
    that is written: of the whole mixture, whichever part the slate came from. Where the slate of
    highest score is asked for it is shown without exploring, as every policy does; see
    :class:`Drawn`. What draws its scores itself, such as Thompson sampling, is mixed given these.

    :param num_items: number of items N.
    :param policy: constructor arguments of the policy inside, and under ``class`` its
        ``module:Class``.
    :param epsilon: ε, 0 to 1.
    """

    def __init__(self, num_items: int, policy: Mapping[str, Any], epsilon: float = 0.1) -> None:
        super().__init__(num_items)
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon is {epsilon}; a probability lies between 0 and 1.")
        self.epsilon = epsilon
        self.policy: Policy = Policy.build(policy)
        self.reads = self.policy.reads
        self.history_length = self.policy.history_length

    @classmethod
    def around(cls, policy: Policy, epsilon: float = 0.1) -> "EpsilonGreedy":
        """Make the policy around another, which stays the same object and may go on learning."""
        around = cls(policy.num_items, describe(policy), epsilon)
        around.policy = policy
        return around

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give the other policy's user vectors ``(B, D)``."""
        return self.policy.user_vectors(history)

    def score(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Score as the other policy does."""
        return self.policy.score(user_vectors, step, accepted_total)

    def logits(self, state: TensorDictBase) -> Tensor:
        """Score the columns of a state as the other policy does."""
        return self.policy.logits(state)

    def distribution(self, state: TensorDictBase, slate_size: int = 1) -> EpsilonSlates:
        """The law of the slate in a state, over the columns that the other policy scores."""
        return EpsilonSlates(self.policy.distribution(state, slate_size), self.epsilon)


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
