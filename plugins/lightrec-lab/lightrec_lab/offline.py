"""Learners from a log beside lightrec's own, for comparison."""

from collections.abc import Sequence
from typing import Any, ClassVar

from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import DiscreteCQLLoss

from lightrec.keys import Key
from lightrec.learners.algorithms import Learner
from lightrec.learners.losses import between_0_and_1, expectile_loss, log_likelihood, positive
from lightrec.learners.transitions import FEATURES
from lightrec.policies.base import LearnedPolicy
from lightrec_lab.algorithms import DQN
from lightrec_lab.return_conditioned import RETURN_TO_GO, ReturnConditioned


class ReturnConditioning(Learner):
    """Likelihood of what was shown, given the return that came of it, and later a high one.

    ``n_step`` must be as long as sessions are: then a transition's reward is its return to go.
    """

    looks_ahead = True

    @staticmethod
    def wrap(policy: LearnedPolicy, slate_size: int, hidden: Sequence[int]) -> LearnedPolicy:
        """The policy that a return can be asked of."""
        return ReturnConditioned(policy, tuple(hidden))

    def make_loss(self, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        assert isinstance(self.policy, ReturnConditioned)
        return ReturnConditionedLoss(self.policy, **settings)


class ReturnConditionedLoss(nn.Module):
    """Likelihood of what was shown, given what came of it, and the high returns to ask for later.

    With G the reward of a transition, which is the session's return to go where ``n_step`` is as
    long as sessions are:

    - ``loss_actor``: -E log π(a | s, G).
    - ``loss_value``: E abs(τ - 1[u < 0]) u², u = G - V(s), an expectile of the returns to go.

    :param actor: the policy.
    :param expectile: τ, .5 for the mean return, towards 1 for the highest.
    :raises ValueError: where it is not between 0 and 1.
    """

    def __init__(self, actor: ReturnConditioned, *, expectile: float = 0.99) -> None:
        super().__init__()
        self.actor, self.expectile = actor, between_0_and_1(expectile)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Both losses, and the mean return that would be asked for."""
        reached = batch["next", "reward"]
        conditioned = batch.copy().set(RETURN_TO_GO, reached)
        expected = self.actor.expected(batch[FEATURES])
        return {
            "loss_actor": -log_likelihood(self.actor, conditioned).mean(),
            "loss_value": expectile_loss(reached - expected, self.expectile),
            "return_to_go": expected.detach().mean(),
        }


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
