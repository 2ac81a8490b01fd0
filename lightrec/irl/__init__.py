"""Inverse reinforcement learning: from what people chose to what they want.

The learners from logs are imported here, because a recipe knows a class by its short name once it
is imported.
"""

from lightrec.irl.base import RewardLearner
from lightrec.irl.classifiers import ClickClassifier, RewardWeightedLikelihood
from lightrec.irl.iq_learn import IQLearn
from lightrec.irl.maxent import MaxEnt
from lightrec.irl.mixture import TasteMixture

__all__ = [
    "ClickClassifier",
    "IQLearn",
    "MaxEnt",
    "RewardLearner",
    "RewardWeightedLikelihood",
    "TasteMixture",
]
