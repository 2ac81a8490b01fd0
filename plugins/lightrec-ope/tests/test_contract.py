"""The command keeps the contract of commands."""

from lightrec_testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-ope"))
def test_contract(check):
    check()
