"""Losses of policies over candidates that TorchRL does not have, or not for candidates.

A loss reads a batch of transitions, whose actions are columns of logits ``(B, C)``, and gives what
starts with ``loss``, to be stepped on, next to diagnostics.
"""

from lightrec.learners.losses.actor_value import (
    CandidateMPOLoss,
    CandidateSACLoss,
    ValueLoss,
    positive,
)
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss, top_k_multiplier
from lightrec.learners.losses.slate_q import SlateQLoss, SlateSarsaLoss

__all__ = [
    "CandidateMPOLoss",
    "CandidateSACLoss",
    "ReinforceTopKLoss",
    "SlateQLoss",
    "SlateSarsaLoss",
    "ValueLoss",
    "positive",
    "top_k_multiplier",
]
