"""SlateQ: values of slates by way of values of items, and a model of what users choose.

Ie et al. 2019, "SlateQ: a tractable decomposition for reinforcement learning with recommendation
sets" (IJCAI): users take at most one item of a slate, and what comes after depends on what was
taken only. Off policy, values are those of the best slates; on policy, those of the policy that
plays, from returns that look many steps ahead in place of the paper's single step.
"""

import torch
from tensordict import TensorDictBase
from torch import Tensor, nn

from lightrec.keys import Key
from lightrec.learners.losses.actor_value import Distance, ValueLoss
from lightrec.learners.transitions import CLICKED_COLUMN, FEATURES
from lightrec.nn.best_slate import best_slate
from lightrec.nn.plackett_luce import at, may_be_shown
from lightrec.policies.slate import SlatePolicy


class SlateQLoss(ValueLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, and the law of choice.

    ``loss_qvalue`` is the distance of Q(s, i), i being what was taken of the slate or nothing, from

        r + γ (1 - terminated) Σ_{j in A′ or nothing} P(j | s′, A′) Q̄(s′, j)

    with Q̄ the target network and A′ the slate that makes the sum largest
    (:func:`~lightrec.nn.best_slate.best_slate`). ``loss_choice`` is minus the log-likelihood of
    what was taken under P(i | s, A) = exp(u_i) / (1 + Σ exp(u_j)), u being the scores of
    ``policy.choices``. The choice model has no target network: it is learned from what is seen, not
    from itself.

    :param policy: of values and choices, for slates of the size that it was made for.
    :param discount: see :class:`~lightrec.learners.losses.actor_value.ValueLoss`, as
        ``loss_function``.
    """

    def __init__(
        self, policy: SlatePolicy, *, discount: float = 0.99, loss_function: Distance = "smooth_l1"
    ) -> None:
        super().__init__(discount, loss_function)
        self.policy = policy
        self.target_policy = self._lagging(policy)

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give ``loss_qvalue`` and ``loss_choice``, with the means of predictions and targets."""
        return self._losses(batch, self._target(batch, self._next_value(batch["next"])))

    def _losses(self, batch: TensorDictBase, target: Tensor) -> dict[str, Tensor]:
        """Give the losses of values that aim at a target ``(B,)``, and of choices."""
        items, nothing = self.policy.action_values(batch)
        # Nothing, -1, stands before the columns.
        predicted = (
            torch.cat([nothing, items], -1).gather(-1, batch[CLICKED_COLUMN] + 1).squeeze(-1)
        )
        return {
            "loss_qvalue": self._distance(predicted, target),
            "loss_choice": self._choice_loss(batch),
            "pred_value": predicted.detach().mean(),
            "target_value": target.mean(),
        }

    @torch.no_grad()
    def _next_value(self, following: TensorDictBase) -> Tensor:
        """Give the value of the best slate of next states ``(B,)``."""
        values, nothing = self.target_policy.action_values(following)
        choice = self.policy.choices.logits(following)
        best = best_slate(values, choice, nothing, self.policy.slate_size)
        shown = (may_be_shown(values) & may_be_shown(choice)).any(-1)
        return torch.where(shown, best.value, 0.0)

    def _choice_loss(self, batch: TensorDictBase) -> Tensor:
        """Give minus the mean log-likelihood of what was taken of the slates shown."""
        slate = batch[Key.ACTION]
        scores = at(self.policy.choices.logits(batch), slate).masked_fill(slate < 0, -torch.inf)
        options = torch.cat([torch.zeros_like(scores[..., :1]), scores], -1)
        place = (slate == batch[CLICKED_COLUMN]) & (slate >= 0)
        option = torch.where(place.any(-1), place.long().argmax(-1) + 1, 0).unsqueeze(-1)
        return (options.logsumexp(-1) - options.gather(-1, option).squeeze(-1)).mean()


class SlateSarsaLoss(SlateQLoss):
    """Learns Q(s, i) of items that are taken, Q(s, 0) of nothing, the law of choice, and V(s).

    Values are those of the policy that played: ``loss_qvalue`` is the distance of Q(s, i), i being
    what was taken of the slate or nothing, from ``value_target``, an estimate of the return such as
    TD(λ); ``loss_value`` that of V(s), which such estimates need. ``loss_choice`` is that of
    :class:`SlateQLoss`. There are no target networks: nothing here is learned from itself.

    A policy that shows, mostly, the slates of largest value then improves on the one that played,
    and so on. Networks are run on what was played, so that columns may be the places of slates
    alone: a few scores a row in place of all items'.

    :param policy: of values and choices.
    :param critic: from a state's features to its value.
    :param loss_function: distance of values. Only ``l2`` aims at the mean of returns that scatter.
    """

    def __init__(
        self, policy: SlatePolicy, critic: nn.Module, *, loss_function: Distance = "l2"
    ) -> None:
        ValueLoss.__init__(self, 1.0, loss_function)
        self.policy, self.critic = policy, critic

    def forward(self, batch: TensorDictBase) -> dict[str, Tensor]:
        """Give the three losses, with the means of predictions and targets."""
        target = batch["value_target"].squeeze(-1)
        value = self.critic(batch[FEATURES]).squeeze(-1)
        return self._losses(batch, target) | {"loss_value": self._distance(value, target)}
