"""Learners from a log beside lightrec's own, for comparison."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn
from torchrl.objectives import DiscreteCQLLoss

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.algorithms import Learner
from lightrec.learners.losses import between_0_and_1, expectile_loss, log_likelihood, positive
from lightrec.learners.transitions import FEATURES, STEPS_AHEAD
from lightrec.policies.base import LearnedPolicy
from lightrec_lab.algorithms import DQN, ReinforceTopK
from lightrec_lab.losses import ReinforceTopKLoss
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


class LoggedReinforceTopK(ReinforceTopK):
    """REINFORCE with the top-K correction, whose behavior policy's propensities were logged.

    The log shows one item at a time, the policy will show K of them, which no log tells: K is the
    setting ``top_k``. With 1 the correction is gone, and only π / β is left.

    What an item is credited with is, as in the paper, the return that came of it: rewards of
    ``n_step`` steps and the critic's value of where they led. A baseline would make many credits
    negative, and drive the policy to what the log does not show.
    """

    values_single_items = True
    weighs_by_propensity = True
    networks = Learner.networks

    def make_loss(self, top_k: int | None = None, **settings: Any) -> nn.Module:
        """Build lightrec's loss."""
        if top_k is None or top_k < 1:
            raise RecipeError(
                f"reinforce-top-k counts an item by what it adds to a list of K, and top_k is "
                f"{top_k}. Name under loss_settings how many items the policy will show at once, "
                "such as top_k: 10; with 1 items count for themselves."
            )
        return ReinforceTopKLoss(self.policy, self.critic, None, top_k=top_k, **settings)

    def losses(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """The losses, returns being estimated first."""
        after = batch["next"]
        with torch.no_grad():
            goes_on = self.discount ** batch[STEPS_AHEAD] * ~after["terminated"]
            target = after["reward"] + goes_on * self.critic(after[FEATURES])
            batch["value_target"] = batch["advantage"] = target
        return super().losses(batch)


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
