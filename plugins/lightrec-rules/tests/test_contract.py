"""The package keeps lightrec's contracts."""

from lightrec.testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-rules"))
def test_contract(check):
    check()
