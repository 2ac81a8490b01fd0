"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of food and of what is good for whom."""
    return {"health": "lightrec_health.domain:HealthDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the reader of recipes with a health score."""
    return {"FoodReader": "lightrec_health.readers:FoodReader"}


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward that weighs liking with health."""
    return {"HealthReward": "lightrec_health.reward:HealthReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the trade-off between liking and health."""
    return {"HealthTradeOff": "lightrec_health.evaluator:HealthTradeOff"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run health``."""
    return [Path(__file__).parent / "recipes"]
