"""A learner from a log beside lightrec's own, for comparison."""

from typing import Any, ClassVar

from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import DiscreteCQLLoss

from lightrec.keys import Key
from lightrec.learners.losses import positive
from lightrec_lab.algorithms import DQN


class CQL(DQN):
    """Conservative Q-learning over candidates (Kumar et al. 2020).

    To the loss of Q-learning comes ``alpha`` times log Σ exp Q(s, j) - Q(s, a), which keeps columns
    that the log does not show from being thought better than those that it does.
    """

    kind = DiscreteCQLLoss
    own_settings: ClassVar = {}

    def make_loss(self, alpha: float = 0.1, **settings: Any) -> nn.Module:
        """Build TorchRL's loss."""
        positive(alpha=alpha)
        self.alpha = alpha
        return super().make_loss(**settings)

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """TorchRL's losses, one of them times α."""
        flat = batch.copy().set(Key.ACTION, batch[Key.ACTION].squeeze(-1))  # as TorchRL asks
        losses = super().losses(flat)
        del losses["pred_value"]  # over all columns, minus infinity where one may not be shown
        return losses | {"loss_cql": self.alpha * losses["loss_cql"]}
