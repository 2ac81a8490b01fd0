"""The learners by the name of their loss: TorchRL's losses, and lightrec's where it has none.

A learner has the module's policy and critic, and perhaps further networks; the policy alone is what
is kept in the end.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import (
    A2CLoss,
    ClipPPOLoss,
    DQNLoss,
    LossModule,
    ReinforceLoss,
    SoftUpdate,
    ValueEstimators,
)

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.losses import (
    CandidateMPOLoss,
    CandidateSACLoss,
    ReinforceTopKLoss,
    SlateQLoss,
    SlateSarsaLoss,
)
from lightrec.learners.networks import ActionValues, Logits, SlateValues, actor_of, critic_of
from lightrec.learners.transitions import CLICKED_COLUMN
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.epsilon_greedy import EpsilonSlates
from lightrec.policies.slate import SlatePolicy

LossName = Literal["ppo", "a2c", "reinforce", "reinforce-top-k", "slate-sarsa"]
ReplayLossName = Literal["dqn", "double-dqn", "soft-q", "sac", "slate-q", "mpo"]


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


class PolicyGradient(Learner):
    """The base of what follows the gradient of the slates' probability."""

    kind: ClassVar[type[LossModule]]
    defaults: ClassVar[Mapping[str, float]] = {}

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build TorchRL's loss around the networks, which it does not copy."""
        chosen = {**self.defaults, **settings}
        if "entropy_coeff" in chosen:
            # An entropy that counts for nothing would take half of the time.
            chosen["entropy_bonus"] = bool(chosen["entropy_coeff"])
        actor = actor_of(policy, self.slate_size, self.has_mask)
        rest = [
            Logits(other, f"{name}_logits")
            for name, other in others.items()
            if isinstance(other, LearnedPolicy)
        ]
        loss = self.kind(actor, critic_of(critic), *rest, functional=False, **chosen)
        loss.set_keys(action=Key.ACTION, sample_log_prob=Key.LOG_PROBABILITY)
        return loss


class PPO(PolicyGradient):
    """Proximal policy optimization (Schulman et al. 2017)."""

    kind = ClipPPOLoss
    defaults: ClassVar = {"clip_epsilon": 0.2, "entropy_coeff": 0.0, "critic_coeff": 1.0}


class A2C(PolicyGradient):
    """Advantage actor-critic (Mnih et al. 2016)."""

    kind = A2CLoss
    defaults: ClassVar = {"entropy_coeff": 0.0, "critic_coeff": 1.0}


class Reinforce(PolicyGradient):
    """REINFORCE with a learned baseline (Williams 1992)."""

    kind = ReinforceLoss


class ReinforceTopK(PolicyGradient):
    """REINFORCE with the top-K correction and a learned behavior policy (Chen et al. 2019)."""

    kind = ReinforceTopKLoss
    defaults: ClassVar = {"cap": 10.0}

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give a policy that learns by likelihood what was shown."""
        return nn.ModuleDict({"behavior": copy.deepcopy(policy)})

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss for slates of the simulator's size."""
        return super().make_loss(policy, critic, others, top_k=self.slate_size, **settings)


class SlateSarsa(Learner):
    """SlateQ on policy (Ie et al. 2019): values of what was taken, from returns as they came."""

    learns_slates_alone = True

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, settings: Any) -> LearnedPolicy:
        """Give the policy of values and choices."""
        return SlatePolicy(policy, policy, slate_size, tuple(settings.critic_hidden))

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        assert isinstance(policy, SlatePolicy)
        choices = Logits(policy.choices, "choice_logits")
        networks = SlateValues(policy), choices, critic_of(critic)
        loss = SlateSarsaLoss(*networks, slate_size=self.slate_size, **settings)
        loss.set_keys(action=Key.ACTION, clicked=CLICKED_COLUMN)
        return loss


class DQN(Greedy):
    """Deep Q-learning over candidates (Mnih et al. 2015; dueling, Wang et al. 2016)."""

    prefers_learned = False
    """Whether targets value the column that the learned network prefers."""

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build TorchRL's loss."""
        return self._around(ActionValues(policy, critic), settings)

    def _around(self, values: ActionValues, settings: Mapping[str, Any]) -> LossModule:
        only_single(self.slate_size, type(self).__name__)
        chosen = {"loss_function": "smooth_l1", **settings}
        loss = DQNLoss(
            values,
            double_dqn=self.prefers_learned,
            delay_value=True,
            action_space="categorical",
            **chosen,
        )
        loss.make_value_estimator(ValueEstimators.TD0, gamma=self.discount)
        return loss


class DoubleDQN(DQN):
    """Its target values the column that the learned network prefers (van Hasselt et al. 2016)."""

    prefers_learned = True


class SoftQ(DQN):
    """Soft Q-learning (Haarnoja et al. 2017): the policy's law is ∝ exp(Q / ``temperature``)."""

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build TorchRL's loss of Q-learning around soft values."""
        own = dict(settings)
        temperature = own.pop("temperature", 0.1)
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; it must be above 0")
        return self._around(ActionValues(policy, critic, temperature), own)

    act = Learner.act


class SAC(Learner):
    """Soft actor-critic over candidates, with two networks of action values."""

    has_targets = True

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give two networks of action values."""
        return nn.ModuleDict(
            {name: fresh_values(policy, settings.critic_hidden) for name in ("first", "second")}
        )

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        only_single(self.slate_size, "SAC")
        chosen = {"loss_function": "smooth_l1", "alpha_init": 0.1, **settings}
        loss = CandidateSACLoss(Logits(policy), others["first"], others["second"], **chosen)
        loss.make_value_estimator(gamma=self.discount)
        return loss


class MPO(Learner):
    """Maximum a posteriori policy optimization over candidates."""

    has_targets = True

    @staticmethod
    def networks(policy: LearnedPolicy, settings: Any) -> nn.ModuleDict:
        """Give a network of action values."""
        return nn.ModuleDict({"first": fresh_values(policy, settings.critic_hidden)})

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        only_single(self.slate_size, "MPO")
        chosen = {"loss_function": "smooth_l1", **settings}
        loss = CandidateMPOLoss(Logits(policy), others["first"], **chosen)
        loss.make_value_estimator(gamma=self.discount)
        return loss


class SlateQ(Greedy):
    """SlateQ: values of single items, and a model of what is taken of a slate."""

    wrap = SlateSarsa.wrap

    def make_loss(
        self, policy: LearnedPolicy, critic: SessionValue, others: nn.ModuleDict, **settings: Any
    ) -> LossModule:
        """Build lightrec's loss."""
        assert isinstance(policy, SlatePolicy)
        chosen = {"loss_function": "smooth_l1", "slate_size": self.slate_size, **settings}
        choices = Logits(policy.choices, "choice_logits")
        loss = SlateQLoss(SlateValues(policy), choices, **chosen)
        loss.make_value_estimator(gamma=self.discount)
        loss.set_keys(clicked=CLICKED_COLUMN)
        return loss


def fresh_values(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """Give a network of action values that begins as the policy does, but for random layers."""
    own = copy.deepcopy(policy)
    for module in own.modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight.any():
            module.reset_parameters()
    return ActionValues(own, SessionValue(policy.feature_size, hidden))


def only_single(slate_size: int, name: str) -> None:
    """Refuse slates.

    :raises RecipeError: where they have several places.
    """
    if slate_size > 1:
        raise RecipeError(
            f"{name} values single items, and the slates have {slate_size} places. "
            "Take slate-q, or an on-policy loss."
        )


ON_POLICY: dict[str, type[Learner]] = {
    "ppo": PPO,
    "a2c": A2C,
    "reinforce": Reinforce,
    "reinforce-top-k": ReinforceTopK,
    "slate-sarsa": SlateSarsa,
}
"""Learners from what was just played, by the name of their loss."""
REPLAY: dict[str, type[Learner]] = {
    "dqn": DQN,
    "double-dqn": DoubleDQN,
    "soft-q": SoftQ,
    "sac": SAC,
    "slate-q": SlateQ,
    "mpo": MPO,
}
"""Learners from what was ever played, by the name of their loss."""
