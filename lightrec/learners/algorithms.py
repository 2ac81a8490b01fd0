"""The learners by the name of their loss: TorchRL's losses, and lightrec's where it has none.

A learner has the module's policy and critic, and perhaps further networks; the policy alone is what
is kept in the end.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule, TensorDictModuleBase
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
from lightrec.learners.losses.actor_value import (
    CandidateMPOLoss,
    CandidateSACLoss,
    ValueLoss,
    positive,
)
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss
from lightrec.learners.losses.slate_q import SlateQLoss, SlateSarsaLoss
from lightrec.learners.transitions import FEATURES
from lightrec.nn.plackett_luce import PlackettLuce, may_be_shown
from lightrec.nn.session import perceptron
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.epsilon_greedy import EpsilonSlates
from lightrec.policies.slate import SlatePolicy

LossName = Literal["ppo", "a2c", "reinforce", "reinforce-top-k", "slate-sarsa"]
ReplayLossName = Literal["dqn", "double-dqn", "soft-q", "sac", "slate-q", "mpo"]


class Actor(TensorDictModuleBase):
    """The law of a policy's slates, as TorchRL's losses ask for it.

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
        """Give the law over a state's columns."""
        return self.policy.columns(state, self.slate_size)


class ActionValues(TensorDictModuleBase):
    """Q of a state's columns: the critic's value of the state plus the policy's logits.

    The policy's order is that of Q. Written are ``action_value`` (..., C), minus infinity where a
    column may not be shown, and the critic's value everywhere if none may, the best column
    ``action`` (..., 1), and the state's own value as ``chosen_action_value`` (..., 1): that of the
    best column, or the soft value τ log Σ exp(Q / τ).

    :param policy: whose logits, times the temperature, are advantages.
    :param critic: from features to the value of a state.
    :param temperature: τ, so that the policy's law is the soft-optimal one; None for hard values.
    """

    def __init__(
        self, policy: LearnedPolicy, critic: nn.Module, temperature: float | None = None
    ) -> None:
        super().__init__()
        self.policy, self.critic, self.temperature = policy, critic, temperature
        self.in_keys = [*policy.reads, FEATURES]
        self.out_keys = ["action_value", "action", "chosen_action_value"]

    def values(self, state: TensorDictBase) -> Tensor:
        """Give Q alone."""
        return self.forward(state.copy())["action_value"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add the three."""
        level, scale = self.critic(state[FEATURES]), self.temperature or 1.0
        values, mask = level + scale * self.policy.logits(state), state.get(Key.MASK, None)
        if mask is not None:
            values = torch.where(mask, values, -torch.inf)
        best, column = values.max(-1, keepdim=True)
        # A state in which nothing may be shown is worth what the critic says, whichever of these
        # a loss reads.
        none = best == -torch.inf
        if self.temperature is not None:
            # Without the best one, which may be minus infinity, sums of the rest are finite.
            above = ((values - torch.where(none, 0.0, best)) / scale).logsumexp(-1, keepdim=True)
            best = best + scale * torch.where(none, 0.0, above)
        state["action_value"], state["action"] = torch.where(none, level, values), column
        state["chosen_action_value"] = torch.where(none, level, best)
        return state


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
    weighs_by_propensity: bool = False
    """Whether what was shown is weighed by the probability of showing it."""
    looks_ahead: bool = False
    """Whether a reward must be the return of all that came of a step, to the session's end."""
    greedy: bool = False
    """Whether the best slate is shown, or with probability ε any; the policy is no law itself."""

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
                "places. Take a loss of whole slates, such as slate-q, ppo or, from a log, bc."
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
        """Give the policy that is learned, made of the one that the data module gives.

        :param hidden: widths of hidden layers of values.
        """
        return policy

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Give the further networks that are learned.

        :param policy: an untrained one, of which copies may be made.
        :param hidden: widths of hidden layers of values.
        """
        return {}

    @abstractmethod
    def make_loss(self, **settings: Any) -> nn.Module:
        """Build the loss, its value estimator included."""

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give what starts with ``loss``, to be stepped on, and what is looked at.

        :param batch: transitions (R,).
        """
        return dict(self.loss(batch).items())

    def follow_up(self) -> None:
        """Move the target networks."""
        if isinstance(self.loss, ValueLoss):
            self.loss.follow_up(self.tau)

    def act(self, state: TensorDictBase, epsilon: float) -> tuple[Tensor, Tensor]:
        """Choose columns (B, K) to be shown, and give the logarithm of their probability (B,).

        :param epsilon: with which probability to explore, where the learner is greedy.
        """
        law = self.policy.columns(state, self.slate_size)
        if self.greedy:
            law = EpsilonSlates(law.mode, may_be_shown(law.logits), epsilon)
        columns = law.sample()
        return columns, law.log_prob(columns)


class PPO(Learner):
    """Proximal policy optimization (Schulman et al. 2017)."""

    kind: ClassVar[type[LossModule]] = ClipPPOLoss
    defaults: ClassVar[Mapping[str, float]] = {
        "clip_epsilon": 0.2,
        "entropy_coeff": 0.0,
        "critic_coeff": 1.0,
    }

    def make_loss(self, **settings: Any) -> LossModule:
        """Build TorchRL's loss around the networks, which it does not copy."""
        chosen = {**self.defaults, **settings}
        if "entropy_coeff" in chosen:
            # An entropy that counts for nothing would take half of the time.
            chosen["entropy_bonus"] = bool(chosen["entropy_coeff"])
        critic = TensorDictModule(self.critic, in_keys=[FEATURES], out_keys=["state_value"])
        actor = Actor(self.policy, self.slate_size)
        loss = self.kind(actor, critic, functional=False, **chosen)
        loss.set_keys(sample_log_prob=Key.LOG_PROBABILITY)
        return loss


class A2C(PPO):
    """Advantage actor-critic (Mnih et al. 2016)."""

    kind = A2CLoss
    defaults: ClassVar = {"entropy_coeff": 0.0, "critic_coeff": 1.0}


class Reinforce(PPO):
    """REINFORCE with a learned baseline (Williams 1992)."""

    kind = ReinforceLoss
    defaults: ClassVar = {}


class ReinforceTopK(Learner):
    """REINFORCE with the top-K correction and a learned behavior policy (Chen et al. 2019)."""

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Give a policy that learns by likelihood what was shown."""
        return {"behavior": copy.deepcopy(policy)}

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss for slates of the simulator's size."""
        behavior: Any = self.others["behavior"]
        return ReinforceTopKLoss(
            self.policy, self.critic, behavior, top_k=self.slate_size, **settings
        )


class SlateSarsa(Learner):
    """SlateQ on policy (Ie et al. 2019): values of what was taken, from returns as they came."""

    learns_slates_alone = True
    policy: SlatePolicy

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, hidden: Sequence[int]) -> LearnedPolicy:
        """Give the policy of values and choices."""
        return SlatePolicy(policy, policy, slate_size, tuple(hidden))

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return SlateSarsaLoss(self.policy, self.critic, **settings)


class DQN(Learner):
    """Deep Q-learning over candidates (Mnih et al. 2015; dueling, Wang et al. 2016)."""

    values_single_items = greedy = True
    kind: ClassVar[type[LossModule]] = DQNLoss
    own: ClassVar[Mapping[str, bool]] = {"double_dqn": False}
    """Settings that set relatives apart."""
    temperature: float | None = None
    """τ of soft values; None for hard ones."""

    def make_loss(self, **settings: Any) -> LossModule:
        """Build TorchRL's loss."""
        values = ActionValues(self.policy, self.critic, self.temperature)
        chosen = {"loss_function": "smooth_l1", "action_space": "categorical", **settings}
        loss = self.kind(values, delay_value=True, **self.own, **chosen)
        loss.make_value_estimator(ValueEstimators.TD0, gamma=self.discount)
        self._targets = SoftUpdate(loss, tau=self.tau)
        return loss

    def follow_up(self) -> None:
        """Move the target network."""
        self._targets.step()


class DoubleDQN(DQN):
    """Its target values the column that the learned network prefers (van Hasselt et al. 2016)."""

    own: ClassVar = {"double_dqn": True}


class SoftQ(DQN):
    """Soft Q-learning (Haarnoja et al. 2017): the policy's law is ∝ exp(Q / ``temperature``)."""

    greedy = False

    def make_loss(self, temperature: float = 0.1, **settings: Any) -> LossModule:
        """Build TorchRL's loss of Q-learning around soft values."""
        positive(temperature=temperature)
        self.temperature = temperature
        return super().make_loss(**settings)


class SAC(Learner):
    """Soft actor-critic over candidates, with two networks of action values."""

    values_single_items = True

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Give two networks of action values."""
        return {name: fresh_values(policy, hidden) for name in ("first", "second")}

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        networks = list(self.others.values())
        return CandidateSACLoss(self.policy, networks, discount=self.discount, **settings)


class MPO(Learner):
    """Maximum a posteriori policy optimization over candidates."""

    values_single_items = True

    @staticmethod
    def networks(policy: LearnedPolicy, hidden: Sequence[int]) -> dict[str, nn.Module]:
        """Give a network of action values."""
        return {"first": fresh_values(policy, hidden)}

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        network = self.others["first"]
        return CandidateMPOLoss(self.policy, network, discount=self.discount, **settings)


class SlateQ(Learner):
    """SlateQ: values of single items, and a model of what is taken of a slate."""

    policy: SlatePolicy
    greedy = True
    wrap = SlateSarsa.wrap

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        return SlateQLoss(self.policy, discount=self.discount, **settings)


def fresh_values(policy: LearnedPolicy, hidden: Sequence[int]) -> ActionValues:
    """Give a network of action values that begins as the policy does, but for random layers."""
    own = copy.deepcopy(policy)
    for module in own.modules():
        if isinstance(module, nn.Linear) and module.weight.requires_grad and module.weight.any():
            module.reset_parameters()
    return ActionValues(own, perceptron([policy.feature_size, *hidden, 1]))


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
