"""The rewards keep the contract of rewards, also within each other."""

from lightrec_rewards.penalties import FatiguePenalty
from lightrec_rewards.staying import ContinuationShaping
from lightrec_testing import RewardChecks, parametrize_checks, plugin_checks

from lightrec.rewards.accepted import LearnedReward, WeightedSum


def combined():
    """A sum of a shaped learned reward and a penalty."""
    shaped = ContinuationShaping(LearnedReward(), 0.9)
    return WeightedSum([shaped, FatiguePenalty()], [1.0, 0.5])


@parametrize_checks(
    plugin_checks("lightrec-rewards"), RewardChecks(combined, part="rewards-within-rewards")
)
def test_contract(check):
    check()
