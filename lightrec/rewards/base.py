"""The base class of rewards: from a transition to a number."""

from abc import abstractmethod

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.keys import PADDING, Key


class Reward(nn.Module):
    """Turns a transition into a reward.

    Subclass it in a plugin and return the class from the hook ``lightrec_rewards``.
    """

    @abstractmethod
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1) float32 of B transitions.

        :param transition: at its root the state before, among it ``Key.HISTORY`` (B, L), and
            ``Key.ACTION`` (B, K), the slate shown; the response as ``Key.CLICKED`` (B, 1), 0 for
            nothing, at the root or under ``next``. Simulators also give ``Key.STEP`` and
            ``Key.ACCEPTED_TOTAL`` (B, 1) before the slate.
        """

    @property
    def judged(self) -> "Reward":
        """The reward by which policies are judged: this one, unless it is shaped for training."""
        return self

    @staticmethod
    def clicked(transition: TensorDictBase) -> Tensor:
        """(B, 1) int64: the item accepted, 0 for none, from the root or from ``next``."""
        nested = ("next", Key.CLICKED)
        key = nested if nested in transition.keys(include_nested=True) else Key.CLICKED
        clicked: Tensor = transition[key]
        return clicked

    @classmethod
    def after(cls, transition: TensorDictBase, nothing: int = PADDING) -> Tensor:
        """(B, L + 1) int64: the histories after the step, padded on the left.

        :param nothing: what enters where nothing was accepted; 0 for nothing at all.
        """
        history, clicked = transition[Key.HISTORY], cls.clicked(transition)
        entered = torch.where(clicked == PADDING, nothing, clicked)
        longer = torch.cat([history, entered], 1)
        return torch.where(entered == PADDING, longer.roll(1, 1), longer)
