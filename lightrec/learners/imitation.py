"""Rewards that learn from demonstrations while a policy learns from them.

The plugin lightrec-lab has rewards that a discriminator gives.
"""

import copy
from typing import ClassVar, Self

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.learners.transitions import FEATURES
from lightrec.nn.part import Part
from lightrec.rewards.base import Reward

DEMONSTRATED = "demonstrated"
"""Key that marks, by 1, the demonstrations among the transitions of a batch, (..., 1) float32."""
READ = (
    *(FEATURES, Key.LOG_PROBABILITY, Key.ABSORBING, DEMONSTRATED),
    *(("next", key) for key in (FEATURES, Key.ABSORBING, "terminated")),
)
"""What rewards that learn read of transitions, next to the items shown."""
REWARD = "reward"
"""Where a reward that was learned is left, below the policy's folder."""


class LearnableReward(Reward, Part):
    """A reward that learns while a policy learns from it.

    Transitions hold ``features`` of a state, ``action``, the items shown, and ``action_log_prob``
    under the present policy at the root, and ``features`` and ``terminated`` under ``next``;
    ``absorbing`` on both sides where endings are played on, see
    :class:`~lightrec.simulators.base.Simulator`.

    :param updates: optimizer steps of the reward in an iteration of the policy's.
    :param batch_size: transitions of either side in such a step.
    :param learning_rate: of AdamW, for the reward.
    :param weight_decay: of AdamW, for the reward.
    :param cloning: optimizer steps, before all else, in which the policy is fitted to the
        demonstrations by likelihood. From there the reward has less to find.
    :param warm_up: first iterations in which only the reward learns.
    """

    reads_probability: ClassVar[bool] = False
    """Whether the present policy's probability of what was shown is read."""
    needs_replay: ClassVar[bool] = False
    """Whether the policy learns from demonstrations as from its own steps, half and half, which
    only learners from a replay buffer can."""

    def __init__(
        self,
        updates: int = 8,
        batch_size: int = 1024,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        cloning: int = 0,
        warm_up: int = 0,
    ) -> None:
        super().__init__()
        self.updates, self.batch_size = updates, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.cloning, self.warm_up = cloning, warm_up

    def fitted_to(self, feature_size: int, vectors: Tensor, slate_size: int) -> Self:
        """Give a new reward with the same settings for states and items of a size.

        :param feature_size: length S of a state's features.
        :param vectors: (N + 1, D) float32 item vectors; row 0 is ignored.
        :param slate_size: items K shown in a step.
        """
        return copy.deepcopy(self)

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Give the optimizer of the reward's own weights; None where nothing is learned."""
        learned = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not learned:
            return None
        return torch.optim.AdamW(learned, self.learning_rate, weight_decay=self.weight_decay)

    def losses(self, demonstrations: TensorDictBase, played: TensorDictBase) -> dict[str, Tensor]:
        """Give what starts with ``loss``, to be stepped on, and what is looked at.

        :param demonstrations: (R,) transitions of the expert.
        :param played: (R,) transitions of the present policy.
        """
        return {}

    def end_iteration(self, waiting: bool) -> None:
        """Do what is done once an iteration, after the reward's steps.

        :param waiting: whether the policy does not learn yet.
        """


class SQIL(LearnableReward):
    """1 for what the expert did, 0 for the learner's own steps (Reddy, Dragan and Levine 2020).

    No reward is learned: learners from a replay buffer, best ``soft-q``, learn from halves of
    demonstrations and of what was ever played. Constant rewards of one sign: sessions must have one
    length, or absorbing states.

    :param cloning: see :class:`LearnableReward`.
    """

    needs_replay = True

    def __init__(self, cloning: int = 0) -> None:
        super().__init__(updates=0, cloning=cloning)

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (..., 1)."""
        unmarked = torch.zeros_like(transition["next", "terminated"], dtype=torch.float32)
        return transition.get(DEMONSTRATED, unmarked)
