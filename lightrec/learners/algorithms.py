"""The learners: TorchRL's losses, and lightrec's where it has none, around a module's networks.

A learner has the module's policy and critic, and perhaps further networks; the policy alone is what
is kept in the end. A module names it as its ``loss``: by its name in the module's slot, such as
that of the hook ``lightrec_learners``, or by its import path.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jsonargparse.typing import register_type
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictModuleBase
from torch import Tensor, nn
from torchrl.envs.utils import ExplorationType, exploration_type
from torchrl.objectives import ClipPPOLoss, LossModule

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.losses import CandidateIQLLoss, LikelihoodLoss, SlateSarsaLoss, ValueLoss
from lightrec.learners.transitions import FEATURES
from lightrec.moved import old_names
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import perceptron
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy
from lightrec.trust import class_of_recipe, trusted_class

__getattr__ = old_names(__name__)


class Actor(TensorDictModuleBase):
    """A policy as TorchRL's losses and collectors ask for it.

    :param policy: the policy.
    :param slate_size: places K.
    """

    dist_sample_keys: ClassVar = [Key.ACTION]
    log_prob_keys: ClassVar = [Key.LOG_PROBABILITY]

    def __init__(self, policy: LearnedPolicy, slate_size: int) -> None:
        super().__init__()
        self.policy, self.slate_size = policy, slate_size
        self.in_keys = [*policy.reads, Key.MASK, Key.CANDIDATES]
        self.out_keys = [Key.ACTION, Key.LOG_PROBABILITY]

    def get_dist(self, state: TensorDictBase) -> PlackettLuce:
        """The law over a state's columns."""
        return self.policy.columns(state, self.slate_size)

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Write a slate into a state: the best one where TorchRL's exploration is deterministic."""
        best = exploration_type() == ExplorationType.DETERMINISTIC
        self.policy.act(state, self.slate_size, best)
        return state


class ActionValues(nn.Module):
    """Q of a state's columns: the critic's value of the state plus the policy's logits.

    :param policy: whose logits are advantages, so that its order is that of Q.
    :param critic: from features to the value of a state.
    """

    def __init__(self, policy: LearnedPolicy, critic: nn.Module) -> None:
        super().__init__()
        self.policy, self.critic = policy, critic

    def values(self, state: TensorDictBase) -> Tensor:
        """Q ``(..., C)``: minus infinity where a column may not be shown, V if none may."""
        level = self.critic(state[FEATURES])
        values, mask = level + self.policy.logits(state), state.get(Key.MASK, None)
        if mask is not None:
            values = torch.where(mask, values, -torch.inf)
        return torch.where((values == -torch.inf).all(-1, keepdim=True), level, values)


class Learner(nn.Module, ABC):
    """A loss around networks.

    :param policy: what is learned; its logits order the columns.
    :param critic: from a state's features to its value.
    :param others: what :meth:`networks` gave.
    :param slate_size: places K.
    :param discount: γ.
    :param tau: share by which target networks move after an update, where there are any.
    :param settings: of the loss.
    :raises RecipeError: where the loss has no such setting, or cannot do with slates of that size.
    """

    learns_slates_alone: bool = False
    """Whether the loss looks at the items shown alone, and not at all that might have been."""
    values_single_items: bool = False
    """Whether slates of several places are refused."""

    def __init__(
        self,
        policy: LearnedPolicy,
        critic: nn.Module,
        others: nn.ModuleDict,
        *,
        slate_size: int,
        discount: float = 1.0,
        tau: float = 1.0,
        settings: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.policy, self.critic, self.others = policy, critic, others
        self.slate_size, self.discount, self.tau = slate_size, discount, tau
        if self.values_single_items and slate_size > 1:
            raise RecipeError(
                f"{type(self).__name__} values single items, and the slates have {slate_size} "
                "places. Take a loss of whole slates, such as slate-sarsa, ppo or, from a log, bc."
            )
        try:
            self.loss = self.make_loss(**settings)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"{type(self).__name__} cannot be built with loss_settings {dict(settings)}: "
                f"{error}."
            ) from None

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, hidden: Sequence[int]) -> LearnedPolicy:
        """The policy that is learned, made of the one that the data module gives.

        :param hidden: widths of hidden layers of values.
        """
        return policy

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """The further networks that are learned.

        :param policy: an untrained one, of which copies may be made.
        :param hidden: widths of hidden layers of values.
        """
        return {}

    @abstractmethod
    def make_loss(self, **settings: Any) -> nn.Module:
        """Build the loss, its value estimator included."""

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Losses, whose names start with ``loss``, to be stepped on, and what is looked at.

        :param batch: transitions (R,).
        """
        return dict(self.loss(batch).items())

    def follow_up(self) -> None:
        """Move the target networks."""
        if isinstance(self.loss, ValueLoss):
            self.loss.follow_up(self.tau)

    def law(self, state: TensorDictBase) -> PlackettLuce:
        """The law by which slates of columns are drawn to learn from."""
        return self.policy.columns(state, self.slate_size)


def learner_named(slot: str, name: str) -> type[Learner]:
    """Find a learner that a checkpoint or a setting names.

    :param slot: of plugins, such as ``learners``.
    :param name: a short name of the slot, or ``package.module.Class`` of a class that is imported
        already, or belongs to lightrec or to an installed plugin.
    :raises PluginError: where the slot has no such name, or its class cannot be used.
    :raises RunError: where the class is not there, or may not be imported.
    """
    if "." in name:
        return trusted_class(name, Learner)
    kind: type[Learner] = plugins.installed().get(slot, name).load()
    return kind


def learners_of(slot: str) -> type[str]:
    """A type for settings of recipes that name a learner, as :func:`learner_named` finds it.

    A recipe may name any class that Python finds. The setting itself stays a string.
    """

    def checked(name: str) -> str:
        if "." in name:
            class_of_recipe(name, Learner)
        else:
            learner_named(slot, name)
        return name

    kind = type(f"a name among the {slot} or an import path", (str,), {})
    register_type(kind, deserializer=checked, type_check=lambda value, kind: False)
    return kind


class PPO(Learner):
    """Proximal policy optimization (Schulman et al. 2017)."""

    def make_loss(self, **settings: Any) -> LossModule:
        """Build TorchRL's loss around the networks, which it does not copy."""
        chosen = {"clip_epsilon": 0.2, "entropy_coeff": 0.0, "critic_coeff": 1.0, **settings}
        # An entropy that counts for nothing would take half of the time.
        chosen["entropy_bonus"] = bool(chosen["entropy_coeff"])
        critic = TensorDictModule(self.critic, in_keys=[FEATURES], out_keys=["state_value"])
        actor = Actor(self.policy, self.slate_size)
        loss = ClipPPOLoss(actor, critic, functional=False, **chosen)
        loss.set_keys(sample_log_prob=Key.LOG_PROBABILITY)
        return loss


class SlateSarsa(Learner):
    """SlateQ on policy (Ie et al. 2019): values of what was taken, from returns as they came."""

    learns_slates_alone = True
    policy: SlatePolicy

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, hidden: Sequence[int]) -> LearnedPolicy:
        """The policy of values and choices."""
        return SlatePolicy(policy, policy, slate_size, tuple(hidden))

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return SlateSarsaLoss(self.policy, self.critic, **settings)


def fresh_values(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """A network of action values that begins as the policy does, but for random layers."""
    fresh = copy.deepcopy(policy)
    for module in fresh.modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight.any():
            module.reset_parameters()
    return ActionValues(fresh, perceptron([policy.feature_size, *hidden, 1]))


class BehaviorCloning(Learner):
    """Likelihood of what was shown."""

    weighted: ClassVar[bool] = False

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return LikelihoodLoss(self.policy, weighted=self.weighted, **settings)


class RewardWeighted(BehaviorCloning):
    """Likelihood of what was shown, weighted with the reward that came of it."""

    weighted = True


class IQL(Learner):
    """Implicit Q-learning over candidates (Kostrikov et al. 2022)."""

    values_single_items = True

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Two networks of action values."""
        return {name: fresh_values(policy, hidden) for name in ("first", "second")}

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        networks = list(self.others.values())
        return CandidateIQLLoss(
            self.policy, networks, self.critic, discount=self.discount, **settings
        )
