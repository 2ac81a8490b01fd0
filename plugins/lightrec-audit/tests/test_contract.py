"""Each part keeps the contract of its kind."""

from lightrec_testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-audit"))
def test_contract(check):
    check()
