"""The package is one that lightrec takes."""

from lightrec.testing import parametrize_checks, plugin_checks


@parametrize_checks(plugin_checks("lightrec-finetune"))
def test_contract(check):
    check()
