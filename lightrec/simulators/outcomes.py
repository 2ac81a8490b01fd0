"""What each outcome of an offer is worth: every item of a slate, and choosing nothing.

A function here maps a user model, histories (B, L), slates (B, K) and the log-probabilities
(B, K + 1) of the outcomes, nothing last, to worths (B, K + 1) in nats or items.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING
from lightrec.nn.choice_model import ChoiceModel

Worth: TypeAlias = Callable[[ChoiceModel, Tensor, Tensor, Tensor], Tensor]
WorthName: TypeAlias = Literal["accepted", "learned", "surplus"]


def accepted(model: ChoiceModel, history: Tensor, slate: Tensor, log_probability: Tensor) -> Tensor:
    """Count: 1 for every item, 0 for nothing."""
    return pad((slate != PADDING).to(log_probability.dtype), (0, 1))


def learned(model: ChoiceModel, history: Tensor, slate: Tensor, log_probability: Tensor) -> Tensor:
    """Give the reward learned by inverse reinforcement learning, 0 for nothing.

    It misleads a policy where most offers are declined: an accepted item may well have a negative
    reward (its charm of the moment outweighed it), and then being declined is worth more.
    """
    reward = model.reward(history, slate.clamp_min(1))
    return pad(torch.where(slate == PADDING, 0, reward), (0, 1))


def surplus(model: ChoiceModel, history: Tensor, slate: Tensor, log_probability: Tensor) -> Tensor:
    """Give what the user gains: the learned reward plus the expected charm of what was chosen.

    That is r - log π, the step reward whose sum a soft-optimal user maximises (Ziebart et al.
    2008). Its mean over the outcomes of a myopic user is log(1 + Σ exp r), the consumer surplus
    (Small and Rosen 1981), never negative and growing with every item's reward.
    """
    # Outcomes that cannot happen have no surprise to pay for; 0 · infinity would be NaN.
    surprise = -log_probability.clamp_min(torch.finfo(log_probability.dtype).min / 4)
    surprise = torch.where(log_probability.isfinite(), surprise, 0)
    return learned(model, history, slate, log_probability) + surprise


WORTHS: dict[WorthName, Worth] = {"accepted": accepted, "learned": learned, "surplus": surplus}
"""The functions by the names that recipes use."""
