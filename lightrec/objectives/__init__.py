"""Objectives: losses of policies over candidates, beside TorchRL's and in their manner.

A loss reads a batch of transitions and gives ``loss_*`` with diagnostics. Actions are columns of
logits ``(B, C)``. TorchRL's own losses that work with candidates (DQN, PPO, A2C, REINFORCE) are
used as they are and are not repeated here.
"""

from lightrec.objectives.mpo import CandidateMPOLoss
from lightrec.objectives.reinforce_top_k import ReinforceTopKLoss, top_k_multiplier
from lightrec.objectives.sac import CandidateSACLoss
from lightrec.objectives.slate_q import SlateQLoss
from lightrec.objectives.slate_sarsa import SlateSarsaLoss

__all__ = [
    "CandidateMPOLoss",
    "CandidateSACLoss",
    "ReinforceTopKLoss",
    "SlateQLoss",
    "SlateSarsaLoss",
    "top_k_multiplier",
]
