"""Inverse reinforcement learning: from what people chose to what they want.

The learners from logs are imported here, because a recipe knows a class by its short name once it
is imported.
"""

from lightrec.users.irl.base import ClickClassifier, RewardLearner, RewardWeightedLikelihood
from lightrec.users.irl.iq_learn import IQLearn
from lightrec.users.irl.maxent import MaxEnt, TasteMixture

__all__ = [
    "ClickClassifier",
    "IQLearn",
    "MaxEnt",
    "RewardLearner",
    "RewardWeightedLikelihood",
    "TasteMixture",
]
