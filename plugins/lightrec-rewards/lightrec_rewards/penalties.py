"""A penalty, a reward that is never positive, for weighted sums."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import Key, UserReward


class UncertaintyPenalty(UserReward):
    """Minus the uncertainty of an ensemble of user models about the answer to a slate, in nats.

    It keeps a policy to what the log knows (Yu et al. 2020, "MOPO"). A simulator's own uncertainty
    under ``next`` is used where there is one.
    """

    needs = "uncertainty"

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), at least minus the logarithm of the number of members."""
        nats: Tensor | None = transition.get(("next", Key.UNCERTAINTY), None)
        if nats is not None:
            return -nats
        user = transition.get(Key.USER, None)
        _, nats = self.users.predict(transition[Key.HISTORY], transition[Key.ACTION], user)
        return -nats.unsqueeze(1)
