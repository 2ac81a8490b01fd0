"""Objectives: losses of policies over candidates, beside TorchRL's and in their manner.

A loss reads a batch of transitions and gives ``loss_*`` with diagnostics. Actions are columns of
logits ``(B, C)``. TorchRL's own losses that work with candidates (DQN, PPO, A2C, REINFORCE) are
used as they are and are not repeated here.
"""

from lightrec.learners.losses.mpo import CandidateMPOLoss
from lightrec.learners.losses.reinforce_top_k import ReinforceTopKLoss, top_k_multiplier
from lightrec.learners.losses.sac import CandidateSACLoss
from lightrec.learners.losses.slate_q import SlateQLoss
from lightrec.learners.losses.slate_sarsa import SlateSarsaLoss

__all__ = [
    "CandidateMPOLoss",
    "CandidateSACLoss",
    "ReinforceTopKLoss",
    "SlateQLoss",
    "SlateSarsaLoss",
    "top_k_multiplier",
]
