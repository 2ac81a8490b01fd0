"""What this package adds to lightrec. Nothing heavy is imported here."""

from lightrec.api import hookimpl

LIGHTREC_API = 2


@hookimpl
def lightrec_encoders() -> dict[str, str]:
    """Give the encoder."""
    return {"HelloEncoder": "lightrec_hello.encoder:HelloEncoder"}


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward."""
    return {"HelloReward": "lightrec_hello.reward:HelloReward"}


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain."""
    return {"hello": "lightrec_hello.domain:HelloDomain"}
