"""Losses of rankers: what training makes small, each a class that a recipe can name.

All are imported here, because a recipe knows a class by its short name once it is imported.
"""

from lightrec.ranking.losses.base import RankingLoss, Seen
from lightrec.ranking.losses.in_batch import InBatchLoss
from lightrec.ranking.losses.pairwise import BPRLoss
from lightrec.ranking.losses.pointwise import BCELoss, GBCELoss
from lightrec.ranking.losses.sampled_softmax import SampledSoftmaxLoss
from lightrec.ranking.losses.softmax import SoftmaxLoss

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
