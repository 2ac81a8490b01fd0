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

        :param transition: at its root the state before, among it ``Key.USER`` (B,) and
            ``Key.HISTORY`` (B, L), and ``Key.ACTION`` (B, K), the slate shown; the response as
            ``Key.TAKEN`` (B, K), at the root or under ``next``. Simulators also give ``Key.STEP``
            and ``Key.ACCEPTED_TOTAL`` (B, 1) before the slate, and ``Key.VALUE`` (B, K) after it.
        """

    @property
    def judged(self) -> "Reward":
        """The reward by which policies are judged: this one, unless it is shaped for training."""
        return self

    @staticmethod
    def taken(transition: TensorDictBase) -> Tensor:
        """(B, K) bool: which items of the slate were taken, from the root or from ``next``."""
        nested = ("next", Key.TAKEN)
        key = nested if nested in transition.keys(include_nested=True) else Key.TAKEN
        taken: Tensor = transition[key]
        return taken

    @classmethod
    def after(cls, transition: TensorDictBase, nothing: int = PADDING) -> Tensor:
        """(B, L + K) int64: the histories after the step, padded on the left.

        :param nothing: what enters where nothing was accepted; 0 for nothing at all.
        """
        taken = cls.taken(transition)
        entered = transition[Key.ACTION] * taken
        entered[:, 0] += nothing * ~taken.any(1)
        longer = torch.cat([transition[Key.HISTORY], entered], 1)
        order = (longer > PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        return longer.gather(1, order)
