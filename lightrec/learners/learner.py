"""The base of learners: a loss around a policy's networks, and how the policy acts meanwhile.

Each learner has the module's policy and critic, and perhaps further networks; the policy alone is
what is kept in the end. The learners themselves stand in :mod:`lightrec.learners.algorithms`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import LossModule, SoftUpdate

from lightrec.errors import RecipeError
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.epsilon_greedy import EpsilonSlates


class Learner(nn.Module, ABC):
    """A loss around networks.

    :param policy: what is learned; its logits order the columns.
    :param critic: from a state's features to its value.
    :param others: what :meth:`networks` gave.
    :param slate_size: places K.
    :param has_mask: whether states have a mask over all items, and no candidates.
    :param discount: γ.
    :param tau: share by which target networks move after an update, where there are any.
    :param settings: of the loss.
    :raises RecipeError: where the loss has no such setting, or cannot do with slates of that size.
    """

    loss: LossModule

    def __init__(
        self,
        policy: LearnedPolicy,
        critic: SessionValue,
        others: nn.ModuleDict,
        *,
        slate_size: int,
        has_mask: bool = False,
        discount: float = 1.0,
        tau: float = 1.0,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        # In a tuple, which hides it: the module has it already.
        self._policy = (policy,)
        self.slate_size, self.has_mask, self.discount = slate_size, has_mask, discount
        try:
            self.loss = self.make_loss(policy, critic, others, **settings)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{type(self).__name__} cannot be built with loss_settings {dict(settings)}: "
                f"{error}."
            ) from None
        self._targets = SoftUpdate(self.loss, tau=tau) if self.has_targets else None

    has_targets: bool = False
    """Whether the loss has target networks."""
    learns_slates_alone: bool = False
    """Whether the loss looks at the items shown alone, and not at all that might have been."""

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, settings: Any) -> LearnedPolicy:
        """Give the policy that is learned, made of the one that the data module gives.

        :param settings: of the module.
        """
        return policy

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give the further networks that are learned.

        :param policy: an untrained one, of which copies may be made.
        :param settings: of the module.
        """
        return nn.ModuleDict()

    @abstractmethod
    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build the loss, its value estimator included."""

    @property
    def policy(self) -> LearnedPolicy:
        """What is learned."""
        return self._policy[0]

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give what starts with ``loss``, to be stepped on, and what is looked at.

        :param batch: transitions (R,).
        """
        outcome = self.loss(batch)
        return {name: outcome[name] for name in outcome.keys()}  # noqa: SIM118 (a TensorDict)

    def follow_up(self) -> None:
        """Move the target networks."""
        if self._targets is not None:
            self._targets.step()

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Choose columns (B, K) to be shown, and give the logarithm of their probability (B,).

        :param epsilon: with which probability to explore, for policies that are no laws.
        """
        law = self.policy.columns(state, self.slate_size)
        columns = law.sample()
        return columns, law.log_prob(columns)


class Greedy(Learner):
    """A learner that shows what it values most, or with probability ε anything."""

    has_targets = True

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Show the best slate, or with probability ε any that may be shown."""
        best = self.policy.columns(state, self.slate_size)
        law = EpsilonSlates(best.mode, best.allowed, epsilon)
        columns = law.sample()
        return columns, law.log_prob(columns)
