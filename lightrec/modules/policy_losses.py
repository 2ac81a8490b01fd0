"""The losses that move policies, by name: TorchRL's, and lightrec's beside them.

All of them see the same networks: the actor writes ``logits`` over the columns of a state, the
critic the ``state_value`` of its features.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from tensordict import TensorDictBase
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
)
from torch import nn
from torchrl.objectives import A2CLoss, ClipPPOLoss, LossModule, ReinforceLoss

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy

LossName = Literal["ppo", "a2c", "reinforce"]
FEATURES = "features"
"""Key of a state's features (..., S), which critics see."""


class Logits(TensorDictModuleBase):
    """Writes a policy's ``logits`` of a state's columns.

    :param policy: whose logits they are.
    """

    def __init__(self, policy: LearnedPolicy) -> None:
        super().__init__()
        self.policy = policy
        self.in_keys = list(policy.reads)
        self.out_keys = ["logits"]

    def forward(self, state: TensorDictBase) -> TensorDictBase:
        """Add ``logits`` (..., C)."""
        return state.set("logits", self.policy.logits(state))


def actor_of(
    policy: LearnedPolicy, slate_size: int, masked: bool
) -> ProbabilisticTensorDictSequential:
    """Give the network whose law TorchRL's losses ask for.

    :param masked: whether states have a ``mask``.
    """
    keys = {"logits": "logits", "mask": Key.MASK} if masked else {"logits": "logits"}
    law = ProbabilisticTensorDictModule(
        in_keys=keys,
        out_keys=[Key.ACTION],
        distribution_class=PlackettLuce,
        distribution_kwargs={"slate_size": slate_size},
        return_log_prob=True,
    )
    return ProbabilisticTensorDictSequential(Logits(policy), law)


def critic_of(critic: nn.Module) -> TensorDictModule:
    """Give the network that writes ``state_value``."""
    return TensorDictModule(critic, in_keys=[FEATURES], out_keys=["state_value"])


Build = Callable[..., LossModule]
ON_POLICY: dict[str, tuple[Build, dict[str, float | bool]]] = {
    "ppo": (ClipPPOLoss, {"clip_epsilon": 0.2, "entropy_coeff": 0.0, "critic_coeff": 1.0}),
    "a2c": (A2CLoss, {"entropy_coeff": 0.0, "critic_coeff": 1.0}),
    "reinforce": (ReinforceLoss, {}),
}
"""A loss's class and the settings that lightrec gives it unless the recipe says otherwise."""


def on_policy_loss(
    name: LossName,
    policy: LearnedPolicy,
    critic: SessionValue,
    slate_size: int,
    masked: bool,
    settings: Mapping[str, float | bool],
) -> LossModule:
    """Make a loss, which no module may hold: its networks are those that the module has already.

    :raises RecipeError: where the loss has no such setting.
    """
    build, defaults = ON_POLICY[name]
    chosen = {**defaults, **settings}
    if "entropy_coeff" in chosen:
        # An entropy that counts for nothing would take half of the time.
        chosen["entropy_bonus"] = bool(chosen["entropy_coeff"])
    try:
        loss = build(
            actor_of(policy, slate_size, masked), critic_of(critic), functional=False, **chosen
        )
    except TypeError as error:
        raise RecipeError(
            f"The loss {name} cannot be built with loss_settings {dict(settings)}: {error}."
        ) from None
    loss.set_keys(action=Key.ACTION, sample_log_prob=Key.LOG_PROBABILITY)
    return loss
