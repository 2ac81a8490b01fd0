"""SlateQ off policy: values of slates by way of values of items, learned from themselves.

Ie et al. 2019, "SlateQ: a tractable decomposition for reinforcement learning with recommendation
sets" (IJCAI).
"""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.learners.losses import Distance, SlateSarsaLoss, ValueLoss
from lightrec.nn.best_slate import best_slate
from lightrec.nn.plackett_luce import may_be_shown
from lightrec.policies.slate import SlatePolicy


class SlateQLoss(SlateSarsaLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, and the law of choice.

    ``loss_qvalue`` is the distance of Q(s, i), i being what was taken of the slate or nothing, from

        r + γ (1 - terminated) Σ_{j in A′ or nothing} P(j | s′, A′) Q̄(s′, j)

    with Q̄ the target network and A′ the slate that makes the sum largest
    (:func:`~lightrec.nn.best_slate.best_slate`). ``loss_choice`` is minus the log-likelihood of
    what was taken under P(i | s, A) = exp(u_i) / (1 + Σ exp(u_j)), u being the scores of
    ``policy.choices``. The choice model has no target network: it is learned from what is seen, not
    from itself.

    :param policy: of values and choices, for slates of the size that it was made for.
    :param discount: see :class:`~lightrec.learners.losses.ValueLoss`, as ``loss_function``.
    """

    def __init__(
        self, policy: SlatePolicy, *, discount: float = 0.99, loss_function: Distance = "smooth_l1"
    ) -> None:
        ValueLoss.__init__(self, discount, loss_function)
        self.policy = policy
        self.target_policy = self._lagging(policy)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """``loss_qvalue`` and ``loss_choice``, with the means of predictions and targets."""
        return self._losses(batch, self._target(batch, self._next_value(batch["next"])))

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """The value of the best slate of next states ``(B,)``."""
        values, nothing = self.target_policy.action_values(following)
        choice = self.policy.choices.logits(following)
        best = best_slate(values, choice, nothing, self.policy.slate_size)
        shown = (may_be_shown(values) & may_be_shown(choice)).any(-1)
        return torch.where(shown, best.value, 0.0)
