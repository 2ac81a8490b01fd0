"""The encoders keep the contract of encoders, as far as it needs no file."""

from lightrec.testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-images"))
def test_contract(check):
    check()
