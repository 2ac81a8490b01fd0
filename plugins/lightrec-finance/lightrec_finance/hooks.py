"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of investments."""
    return {"finance": "lightrec_finance.domain:FinanceDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the reader of disclosed share trades."""
    return {"HouseReader": "lightrec_finance.readers:HouseReader"}


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward after risk."""
    return {"RiskAdjustedReward": "lightrec_finance.reward:RiskAdjustedReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give what becomes of portfolios of recommended products."""
    return {"Portfolios": "lightrec_finance.evaluator:Portfolios"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run finance``."""
    return [Path(__file__).parent / "recipes"]
