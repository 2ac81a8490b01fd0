"""The package keeps lightrec's contracts."""

from lightrec_news.reward import ReadingReward

from lightrec.testing import Check, RewardChecks, parametrize_checks, plugin_checks

CHECKS = [*plugin_checks("lightrec-news"), *RewardChecks(lambda: ReadingReward("price"))]


@parametrize_checks(CHECKS)
def test_contract(check: Check) -> None:
    check()
