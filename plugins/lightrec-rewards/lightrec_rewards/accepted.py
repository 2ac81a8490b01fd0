"""Further rewards by a user model: by the value of what is accepted, and by probabilities."""

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import Key, UserReward


class ConversionReward(UserReward):
    """The probability that an accepted item has at least a certain value; 0 for nothing.

    Such values are purchases, four stars or more, or films watched for half an hour. They are
    assumed to be normal about the mean that :class:`~lightrec.rewards.accepted.ValueReward` gives.

    :param threshold: in the log's own units.
    """

    needs = "valuing"

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__()
        self.threshold = threshold

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), from 0 to 1 for each item."""
        mean, deviation = self.users.value(*self.asked(transition))
        return self.of_taken(transition, torch.special.ndtr((mean - self.threshold) / deviation))


class ProbabilityLogReward(UserReward):
    """r = p·log p, p being the predicted probability of choosing the accepted item.

    It is 0 at p = 0 and at p = 1, and lowest, -1/e, at p = 1/e: below that a better recommendation
    earns less, and an impossible one earns the most. Since every step costs, it also favours short
    sessions. Summed over a whole set it is minus the entropy: it rewards a predictable user, not a
    pleased one. It is here because the definition is in use.
    """

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Rewards (B, 1), at most 0; 0 for nothing."""
        history, _, user = self.asked(transition)
        utilities = self.users.utilities(history, transition[Key.ACTION], user)
        p = pad(utilities, (0, 1)).softmax(1)[:, :-1]
        return self.of_taken(transition, torch.xlogy(p, p))


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
