"""The package keeps lightrec's contracts."""

from lightrec_hello.domain import HelloDomain
from lightrec_hello.encoder import HelloEncoder
from lightrec_hello.reward import HelloReward

from lightrec.testing import (
    domain_checks,
    encoder_checks,
    parametrize_checks,
    plugin_checks,
    reward_checks,
)


@parametrize_checks(
    plugin_checks("lightrec-hello"),
    encoder_checks(HelloEncoder),
    reward_checks(HelloReward),
    domain_checks(HelloDomain),
)
def test_contract(check):
    check()
