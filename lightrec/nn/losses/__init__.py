"""Losses of rankers: what training makes small, each a class that a recipe can name.

All are imported here, because a recipe knows a class by its short name once it is imported.
"""

from lightrec.nn.losses.base import RankingLoss, Seen
from lightrec.nn.losses.in_batch import InBatchLoss
from lightrec.nn.losses.pairwise import BPRLoss
from lightrec.nn.losses.pointwise import BCELoss, GBCELoss
from lightrec.nn.losses.sampled_softmax import SampledSoftmaxLoss
from lightrec.nn.losses.softmax import SoftmaxLoss

__all__ = [
    "BCELoss",
    "BPRLoss",
    "GBCELoss",
    "InBatchLoss",
    "RankingLoss",
    "SampledSoftmaxLoss",
    "Seen",
    "SoftmaxLoss",
]
