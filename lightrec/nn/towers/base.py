"""The base class of user towers."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class UserTower(nn.Module, ABC):
    """Reads item vectors in the order of a history and gives a user vector after each.

    A position's output depends only on itself and on the unpadded positions before it, and more
    padding on the left changes nothing: the same weights serve training on whole windows, and
    histories of any length afterwards. ``lightrec.testing.check_tower`` tries it.

    The constructor takes ``size``, the width D, and of ``layers``, ``heads``, ``feedforward`` and
    ``dropout`` those that mean something to it, by these names and with defaults.
    """

    @abstractmethod
    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Read sequences.

        :param x: (B, L, D) item vectors, oldest first.
        :param present: (B, L) bool, False at padding, which stands on the left.
        :returns: (B, L, D) user vectors; at padding they are meaningless but finite.
        """
