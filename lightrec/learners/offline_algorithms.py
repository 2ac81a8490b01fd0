"""The learners from a log, by the name of their loss; see :mod:`lightrec.learners.algorithms`."""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import DiscreteCQLLoss

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.algorithms import DQN, SAC, ActionValues, Learner, ReinforceTopK
from lightrec.learners.losses.actor_value import positive
from lightrec.learners.losses.offline import (
    CandidateIQLLoss,
    LikelihoodLoss,
    ReturnConditionedLoss,
    SupervisedValueLoss,
)
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss
from lightrec.learners.transitions import FEATURES, STEPS_AHEAD
from lightrec.nn.session import perceptron
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.return_conditioned import ReturnConditioned

OfflineLossName = Literal[
    "bc", "reward-weighted", "return-conditioned", "reinforce-top-k", "cql", "iql", "snqn", "sa2c"
]


class BehaviorCloning(Learner):
    """Likelihood of what was shown."""

    weighted: ClassVar[bool] = False

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return LikelihoodLoss(self.policy, weighted=self.weighted, **settings)


class RewardWeighted(BehaviorCloning):
    """Likelihood of what was shown, weighted with the reward that came of it."""

    weighted = True


class ReturnConditioning(Learner):
    """Likelihood of what was shown, given the return that came of it, and later a high one.

    ``n_step`` must be as long as sessions are: then a transition's reward is its return to go.
    """

    looks_ahead = True

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, hidden: Sequence[int]) -> LearnedPolicy:
        """Give the policy that a return can be asked of."""
        return ReturnConditioned(policy, tuple(hidden))

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        assert isinstance(self.policy, ReturnConditioned)
        return ReturnConditionedLoss(self.policy, **settings)


class LoggedReinforceTopK(ReinforceTopK):
    """REINFORCE with the top-K correction, whose behavior policy's propensities were logged.

    The log shows one item at a time, the policy will show K of them, which no log tells: K is the
    setting ``top_k``. With 1 the correction is gone, and only π / β is left.

    What an item is credited with is, as in the paper, the return that came of it: rewards of
    ``n_step`` steps and the critic's value of where they led. A baseline would make many credits
    negative, and drive the policy to what the log does not show.
    """

    values_single_items = True
    weighs_by_propensity = True
    networks = Learner.networks

    def make_loss(self, top_k: int | None = None, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        if top_k is None or top_k < 1:
            raise RecipeError(
                f"reinforce-top-k counts an item by what it adds to a list of K, and top_k is "
                f"{top_k}. Name under loss_settings how many items the policy will show at once, "
                "such as top_k: 10; with 1 items count for themselves."
            )
        return ReinforceTopKLoss(self.policy, self.critic, None, top_k=top_k, **settings)

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give the losses, returns being estimated first."""
        after = batch["next"]
        with torch.no_grad():
            goes_on = self.discount ** batch[STEPS_AHEAD] * ~after["terminated"]
            target = after["reward"] + goes_on * self.critic(after[FEATURES])
            batch["value_target"] = batch["advantage"] = target
        return super().losses(batch)


class CQL(DQN):
    """Conservative Q-learning over candidates (Kumar et al. 2020).

    To the loss of Q-learning comes ``alpha`` times log Σ exp Q(s, j) - Q(s, a), which keeps columns
    that the log does not show from being thought better than those that it does.
    """

    kind = DiscreteCQLLoss
    own: ClassVar = {}

    def make_loss(self, alpha: float = 0.1, **settings: Any) -> nn.Module:
        """Build TorchRL's loss."""
        positive(alpha=alpha)
        self.alpha = alpha
        return super().make_loss(**settings)

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give TorchRL's losses, one of them times α."""
        flat = batch.copy().set(Key.ACTION, batch[Key.ACTION].squeeze(-1))  # as TorchRL asks
        found = super().losses(flat)
        del found["pred_value"]  # over all columns, minus infinity where one may not be shown
        return found | {"loss_cql": self.alpha * found["loss_cql"]}


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


OFFLINE: dict[str, type[Learner]] = {
    "bc": BehaviorCloning,
    "reward-weighted": RewardWeighted,
    "return-conditioned": ReturnConditioning,
    "reinforce-top-k": LoggedReinforceTopK,
    "cql": CQL,
    "iql": IQL,
    "snqn": SNQN,
    "sa2c": SA2C,
}
"""Learners from a log, by the name of their loss."""
