"""The losses that move policies, by name: TorchRL's, and lightrec's beside them.

All of them see the same networks: the actor writes ``logits`` over the columns of a state, the
critic the ``state_value`` of its features.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from tensordict import TensorDictBase
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
    TensorDictModuleBase,
)
from torch import Tensor, nn
from torchrl.objectives import A2CLoss, ClipPPOLoss, LossModule, ReinforceLoss

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss
from lightrec.learners.losses.slate_sarsa import SlateSarsaLoss
from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.nn.session import SessionValue
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy

LossName = Literal["ppo", "a2c", "reinforce", "reinforce-top-k", "slate-sarsa"]
FEATURES = "features"
"""Key of a state's features (..., S), which critics see."""
CLICKED_COLUMN = "clicked_column"
"""Key of the column that was accepted (..., 1) int64, or EMPTY."""


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


def clicked_column(columns: Tensor, taken: Tensor) -> Tensor:
    """Find the column that was taken, the first one of several.

    :param columns: (..., K) int64 that were shown.
    :param taken: (..., K) bool: which of them were taken.
    :returns: (..., 1) int64, EMPTY where none was.
    """
    place = taken.to(torch.int8).argmax(-1, keepdim=True)
    return torch.where(taken.any(-1, keepdim=True), columns.gather(-1, place), EMPTY)


def slates_alone(rollout: TensorDictBase) -> TensorDictBase:
    """Give states in which nothing was offered but the slate: columns are its places.

    What is learned of the items shown alone needs no scores of all the others.

    :param rollout: with ``slate`` (..., K) items, and ``taken``.
    """
    slate = rollout["slate"]
    places = torch.arange(slate.shape[-1], device=slate.device).expand_as(slate)
    own = {
        Key.CANDIDATES: slate,
        Key.ACTION: places.masked_fill(slate == PADDING, EMPTY),
        CLICKED_COLUMN: clicked_column(places, rollout[Key.TAKEN]),
    }
    return rollout.exclude(Key.MASK).update(own)


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


Build = Callable[..., LossModule]
ON_POLICY: dict[str, tuple[Build, dict[str, float | bool]]] = {
    "ppo": (ClipPPOLoss, {"clip_epsilon": 0.2, "entropy_coeff": 0.0, "critic_coeff": 1.0}),
    "a2c": (A2CLoss, {"entropy_coeff": 0.0, "critic_coeff": 1.0}),
    "reinforce": (ReinforceLoss, {}),
    "reinforce-top-k": (ReinforceTopKLoss, {"cap": 10.0}),
    "slate-sarsa": (SlateSarsaLoss, {}),
}
"""A loss's class and the settings that lightrec gives it unless the recipe says otherwise."""


def on_policy_loss(
    name: LossName,
    policy: LearnedPolicy,
    critic: SessionValue,
    behavior: LearnedPolicy | None,
    slate_size: int,
    has_mask: bool,
    settings: Mapping[str, float | bool | str],
) -> LossModule:
    """Make a loss, which no module may hold: its networks are those that the module has already.

    :param behavior: learns by likelihood what was shown, for ``reinforce-top-k``.
    :raises RecipeError: where the loss has no such setting.
    """
    build, defaults = ON_POLICY[name]
    chosen: dict[str, Any] = {**defaults, **settings}
    networks: list[nn.Module]
    if isinstance(policy, SlatePolicy):
        networks = [SlateValues(policy), Logits(policy.choices, "choice_logits")]
        given: dict[str, Any] = {"slate_size": slate_size}
        keys = {"clicked": CLICKED_COLUMN}
    else:
        networks = [actor_of(policy, slate_size, has_mask)]
        given = {"functional": False}
        keys = {"sample_log_prob": Key.LOG_PROBABILITY}
    networks.append(critic_of(critic))
    if "entropy_coeff" in chosen:
        # An entropy that counts for nothing would take half of the time.
        chosen["entropy_bonus"] = bool(chosen["entropy_coeff"])
    if behavior is not None:
        networks.append(Logits(behavior, "behavior_logits"))
        given["top_k"] = slate_size
    try:
        loss = build(*networks, **given, **chosen)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"The loss {name} cannot be built with loss_settings {dict(settings)}: {error}."
        ) from None
    loss.set_keys(action=Key.ACTION, **keys)
    return loss
