"""The learners from a log; the hook ``lightrec_offline_learners`` names them by their losses."""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from lightrec.errors import RecipeError
from lightrec.learners.algorithms import SAC, ActionValues, Learner
from lightrec.learners.losses.offline import CandidateIQLLoss, LikelihoodLoss, SupervisedValueLoss
from lightrec.nn.session import perceptron
from lightrec.policies.base import LearnedPolicy


class BehaviorCloning(Learner):
    """Likelihood of what was shown."""

    weighted: ClassVar[bool] = False

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return LikelihoodLoss(self.policy, weighted=self.weighted, **settings)


class RewardWeighted(BehaviorCloning):
    """Likelihood of what was shown, weighted with the reward that came of it."""

    weighted = True


class IQL(SAC):
    """Implicit Q-learning over candidates (Kostrikov et al. 2022)."""

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        networks = list(self.others.values())
        return CandidateIQLLoss(
            self.policy, networks, self.critic, discount=self.discount, **settings
        )


class SNQN(Learner):
    """A supervised policy with action values on its trunk (Xin et al. 2020, 2022)."""

    values_single_items = True
    advantages: ClassVar[bool] = False

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Give a network of action values on the policy's trunk."""
        return {"first": second_head(policy, hidden)}

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return SupervisedValueLoss(
            self.policy,
            self.others["first"],
            advantages=self.advantages,
            discount=self.discount,
            **settings,
        )


class SA2C(SNQN):
    """The same, where advantages weigh the likelihood (Xin et al. 2022)."""

    advantages = True


def second_head(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """Give action values that share all with a policy but the last layer of its query.

    :raises RecipeError: where the policy makes no query by a ``query_network``.
    """
    network = getattr(policy, "query_network", None)
    if not isinstance(network, nn.Sequential):
        raise RecipeError(
            f"{type(policy).__name__} has no query_network on which action values could have a "
            "head of their own. Take TowerPolicy or CandidatePolicy with a size above 0, or "
            "another loss, such as iql."
        )
    own = {id(parameter) for parameter in network[-1].parameters()}
    parts = [*policy.parameters(), *policy.buffers()]
    shared = {id(part): part for part in parts if id(part) not in own}
    values = perceptron([policy.feature_size, *hidden, 1])
    return ActionValues(copy.deepcopy(policy, shared), values)
