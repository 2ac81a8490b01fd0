"""The package keeps lightrec's contracts."""

from lightrec_testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-hello"))
def test_contract(check):
    check()
