"""The rewards that a policy can be trained on, by the names that recipes use."""

from collections.abc import Callable
from typing import Literal

from lightrec.rewards.base import Reward
from lightrec.rewards.engagement import EngagementReward
from lightrec.rewards.learned import LearnedReward
from lightrec.rewards.probability_log import ProbabilityLogReward
from lightrec.rewards.surplus import SurplusReward

RewardName = Literal["surplus", "learned", "accepted", "probability_log"]


def reward_named(name: RewardName, folder: str) -> Reward:
    """Give the reward of a name.

    :param folder: what a reward stage left; not read for ``accepted``.
    """
    if name == "accepted":
        return EngagementReward()
    learned: dict[str, Callable[[str], Reward]] = {
        "learned": LearnedReward,
        "surplus": SurplusReward,
        "probability_log": ProbabilityLogReward,
    }
    return learned[name](folder)
