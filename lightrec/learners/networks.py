"""The networks that losses ask for, made of a policy and a critic.

The actor writes ``logits`` over the columns of a state, the critic the ``state_value`` of its
features, value networks the ``action_value`` of its columns.
"""

import torch
from tensordict import TensorDictBase
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
)
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.learners.transitions import FEATURES
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy


class Logits(TensorDictModuleBase):
    """Writes a policy's logits of a state's columns, minus infinity where one may not be shown.

    :param policy: whose logits they are.
    :param key: under which they are written, (..., C).
    :param apply_mask: whether a state's mask is applied here.
    """

    def __init__(self, policy: LearnedPolicy, key: str = "logits", apply_mask: bool = True) -> None:
        super().__init__()
        self.policy, self.apply_mask = policy, apply_mask
        self.in_keys = list(policy.reads)
        self.out_keys = [key]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add the logits."""
        logits = self.policy.logits(state)
        return state.set(self.out_keys[0], masked(state, logits) if self.apply_mask else logits)


def masked(state: TensorDictBase, columns: Tensor) -> Tensor:
    """Put minus infinity where a state's mask, if it has one, excludes a column."""
    mask = state.get(Key.MASK, None)
    return columns if mask is None else torch.where(mask, columns, -torch.inf)


def actor_of(
    policy: LearnedPolicy, slate_size: int, has_mask: bool
) -> ProbabilisticTensorDictSequential:
    """Give the network whose law TorchRL's losses ask for.

    :param has_mask: whether states have a ``mask``, which the law then applies: one pass over
        all columns less than where the logits are masked before.
    """
    keys = {"logits": "logits", "mask": Key.MASK} if has_mask else {"logits": "logits"}
    law = ProbabilisticTensorDictModule(
        in_keys=keys,
        out_keys=[Key.ACTION],
        distribution_class=PlackettLuce,
        distribution_kwargs={"slate_size": slate_size},
        return_log_prob=True,
    )
    return ProbabilisticTensorDictSequential(Logits(policy, apply_mask=False), law)


def critic_of(critic: nn.Module) -> TensorDictModule:
    """Give the network that writes ``state_value``."""
    return TensorDictModule(critic, in_keys=[FEATURES], out_keys=["state_value"])


class ActionValues(TensorDictModuleBase):
    """Writes Q of a state's columns: the critic's value of the state plus the policy's logits.

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

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add the three."""
        level, scale = self.critic(state[FEATURES]), self.temperature or 1.0
        values = masked(state, level + scale * self.policy.logits(state))
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


class SlateValues(TensorDictModuleBase):
    """Writes a slate policy's ``action_value`` (..., C) and ``null_value`` (..., 1).

    :param policy: whose values they are.
    """

    values: LearnedPolicy
    level: SessionValue
    nothing: SessionValue

    def __init__(self, policy: SlatePolicy) -> None:
        super().__init__()
        # Without the model of choices, which is another network of the loss.
        self.values = policy.values
        self.level = policy.level
        self.nothing = policy.nothing
        self.in_keys = [*policy.reads, FEATURES]
        self.out_keys = ["action_value", "null_value"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add both."""
        features = state[FEATURES]
        values = masked(state, self.level(features) + self.values.logits(state))
        return state.update({"action_value": values, "null_value": self.nothing(features)})
