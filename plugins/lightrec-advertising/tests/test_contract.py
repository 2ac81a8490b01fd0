"""The package keeps lightrec's contracts."""

from lightrec_advertising.reward import ExpectedValueReward

from lightrec.testing import Check, RewardChecks, parametrize_checks, plugin_checks

CHECKS = [
    *plugin_checks("lightrec-advertising"),
    *RewardChecks(lambda: ExpectedValueReward("price")),
]


@parametrize_checks(CHECKS)
def test_contract(check: Check) -> None:
    check()
