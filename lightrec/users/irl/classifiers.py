"""Learners that do not look ahead: what is read off clicks and choices alone, to compare with."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lightrec.keys import PADDING, Key
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.irl.base import Batch, Make, RewardLearner, blocks, chosen, mean, with_nothing
from lightrec.users.reward_model import RewardModel


class _OneNetwork(RewardLearner):
    def __init__(self) -> None:
        super().__init__()
        self.reward_network: ChoiceModel

    def build(self, make: Make, discount: float) -> None:
        """Make the network; γ' has no part in it."""
        self.reward_network = make()

    @property
    def networks(self) -> list[ChoiceModel]:
        """The one network."""
        return [self.reward_network]

    def utilities(self, history: Tensor, items: Tensor) -> Tensor:
        """Give the network's utilities (M · B, C)."""
        return self.reward_network.utilities(
            blocks(self.reward_network.state(history), len(items)), items
        )

    def reward_model(self) -> RewardModel:
        """The network's utilities, taken for rewards."""
        return RewardModel(self.reward_network)


class ClickClassifier(_OneNetwork):
    """Each shown item apart: was it chosen? A logit above 0 means that it likely was.

    What else was on offer plays no part.
    """

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Binary cross-entropy, the mean over a set's items."""
        items = batch[Key.CANDIDATES]
        logits = self.utilities(batch[Key.HISTORY], items)
        there = items != PADDING
        slots = torch.arange(items.shape[1], device=items.device)
        taken = (slots == batch[Key.CHOICE].unsqueeze(1)).to(logits.dtype)
        each = binary_cross_entropy_with_logits(
            logits.masked_fill(~there, 0.0), taken, reduction="none"
        )
        return mean((each * there).sum(1) / there.sum(1).clamp_min(1), batch)


class RewardWeightedLikelihood(_OneNetwork):
    """The recommender that maximises the mean of Σ_t r_t · log π(a_t | s_t) over the log's steps.

    See :func:`lightrec.rewards.probability_log.reward_weighted_log_likelihood` for what that is and
    is not. π is a softmax over the set and nothing; its utilities are what is learned.

    :param reward: r_t: ``engagement`` is 1 for an item and 0 for nothing, so that declined offers
        teach nothing; ``probability-log`` is p·log p of π's own probability p of what was chosen,
        held constant: never positive, it makes what was chosen *less* likely.
    """

    def __init__(self, reward: Literal["engagement", "probability-log"] = "engagement") -> None:
        super().__init__()
        self.reward = reward

    def loss(self, batch: Batch, progress: float) -> Tensor:
        """Minus the weighted log-likelihood."""
        values = with_nothing(self.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES]))
        log_p = chosen(values.log_softmax(-1), batch)
        if self.reward == "engagement":
            weight = (batch[Key.CHOICE] < batch[Key.CANDIDATES].shape[1]).to(log_p.dtype)
        else:
            weight = (log_p.exp() * log_p).detach()
        return -mean(weight * log_p, batch)
