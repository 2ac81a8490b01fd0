"""How people's wishes are learned from what they chose: inverse reinforcement learning."""

from torch import Tensor

from lightrec.keys import Key
from lightrec.users.choice_model import with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.irl import RewardLearner, chosen, mean


class HelloRewardLearner(RewardLearner):
    """The reward under which choices are likeliest where nobody looks ahead."""

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the mean log-likelihood of the choices, nothing being one of them."""
        utilities = self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES])
        return -mean(chosen(with_nothing(utilities).log_softmax(-1), batch), batch)
