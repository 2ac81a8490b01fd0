"""Two definitions by name: r = p·log p, and the log-likelihood weighted by rewards."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.rewards.base import Reward, RewardContext


def probability_log(probability: Tensor) -> Tensor:
    """p·log p of probabilities in [0, 1]; 0 at p = 0."""
    return torch.xlogy(probability, probability)


class ProbabilityLogReward(Reward):
    """r = p·log p, p being the predicted probability that the accepted item is chosen.

    It is never positive, 0 at p = 0 and at p = 1, and lowest, -1/e, at p = 1/e. So it prefers what
    is certain *or impossible* to what is likely: below 1/e a better recommendation earns less, and
    an impossible one earns the most. Since every step costs, a policy that maximises it also likes
    sessions to be short. Summed over a whole set it is minus the entropy: what it rewards is a
    predictable user, not a pleased one. It is here because the definition is in use. The user model
    predicts p, and the set is the slate.
    """

    def bind(self, context: RewardContext) -> None:
        """Take the model of choices."""
        self.model = context.users.choice

    @torch.no_grad()
    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1): p·log p of the accepted item, 0 for nothing."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        log_p = self.model.log_probabilities(history, slate)[:, :-1]
        return (probability_log(log_p.exp()) * self.taken(transition)).sum(-1, keepdim=True)


def reward_weighted_log_likelihood(rewards: Tensor, log_probabilities: Tensor) -> Tensor:
    """Mean over episodes of Σ_t r_t · log π(a_t | s_t), to be maximised.

    It is the policy gradient's surrogate only where the actions were drawn from π itself and r_t
    is the return from t on, or an advantage. With single rewards it is blind to what an action
    brings later; with rewards of one sign it is lopsided: if all are positive every action taken
    becomes likelier, the better the more; if all are negative (as p·log p is), it grows without
    bound as π gives what was taken no probability at all.

    :param rewards: (..., T), constants: no gradient goes through them.
    :param log_probabilities: (..., T) of the actions taken.
    :returns: a scalar.
    :raises DataError: where the shapes differ.
    """
    if rewards.shape != log_probabilities.shape:
        raise DataError(
            f"Rewards have shape {tuple(rewards.shape)} and log-probabilities "
            f"{tuple(log_probabilities.shape)}; they must be the same."
        )
    return (rewards.detach() * log_probabilities).sum(-1).mean()
