"""How a policy learns from what it has just played."""

from typing import Any

from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.api import FEATURES, LearnedPolicy, Learner, log_likelihood


class AdvantageLoss(nn.Module):
    """Likelihood of what was shown, times its advantage; and the critic's squared error.

    :param policy: what learns.
    :param critic: from a state's features to its value.
    :param critic_coeff: weight of the critic's error.
    """

    def __init__(self, policy: LearnedPolicy, critic: nn.Module, critic_coeff: float = 1.0) -> None:
        super().__init__()
        self.policy, self.critic, self.critic_coeff = policy, critic, critic_coeff

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The two losses; the trainer steps on the sum of what starts with ``loss``."""
        likely = log_likelihood(self.policy, batch)
        error = self.critic(batch[FEATURES]) - batch["value_target"]
        return {
            "loss_actor": -(batch["advantage"].squeeze(-1) * likely).mean(),
            "loss_critic": self.critic_coeff * error.square().mean(),
        }


class HelloLearner(Learner):
    """REINFORCE with a learned baseline (Williams 1992)."""

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build the loss around the policy and the critic, with the recipe's ``loss_settings``."""
        return AdvantageLoss(self.policy, self.critic, **settings)
