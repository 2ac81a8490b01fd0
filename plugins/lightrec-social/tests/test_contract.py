"""The package keeps lightrec's contracts."""

from lightrec.testing import Check, parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-social"))
def test_contract(check: Check) -> None:
    check()
