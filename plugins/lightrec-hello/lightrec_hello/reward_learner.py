"""How what people want is learned from what they chose: inverse reinforcement learning."""

from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from lightrec.api import Key, RewardLearner


class HelloRewardLearner(RewardLearner):
    """The reward under which choices are most likely where nobody looks ahead."""

    def loss(self, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Minus the mean log-likelihood of the choices; nothing is the last, with utility 0."""
        utilities = pad(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]), (0, 1))
        surprise = cross_entropy(utilities, batch[Key.CHOICE], reduction="none")
        return (surprise * batch[Key.WEIGHT]).sum() / batch[Key.WEIGHT].sum()
