"""Objectives: losses of policies over candidates, beside TorchRL's and in their manner.

A loss reads a batch of transitions and gives ``loss_*`` with diagnostics. Actions are columns of
logits ``(B, C)``. TorchRL's own losses that work with candidates (DQN, PPO, A2C, REINFORCE) are
used as they are and are not repeated here.
"""

from lightrec.learners.losses.actor_value import CandidateMPOLoss, CandidateSACLoss
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss, top_k_multiplier
from lightrec.learners.losses.slate_q import SlateQLoss, SlateSarsaLoss

__all__ = [
    "CandidateMPOLoss",
    "CandidateSACLoss",
    "ReinforceTopKLoss",
    "SlateQLoss",
    "SlateSarsaLoss",
    "top_k_multiplier",
]
