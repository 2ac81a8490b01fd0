"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_domains() -> dict[str, str]:
    """Give the domain of advertising."""
    return {"advertising": "lightrec_advertising.domain:AdvertisingDomain"}


@hookimpl
def lightrec_readers() -> dict[str, str]:
    """Give the readers of two randomised trials."""
    return {
        "HillstromReader": "lightrec_advertising.readers:HillstromReader",
        "AdSmartReader": "lightrec_advertising.readers:AdSmartReader",
    }


@hookimpl
def lightrec_rewards() -> dict[str, str]:
    """Give the reward of expected value."""
    return {"ExpectedValueReward": "lightrec_advertising.reward:ExpectedValueReward"}


@hookimpl
def lightrec_evaluators() -> dict[str, str]:
    """Give the evaluator of the click model."""
    return {"ClickCalibration": "lightrec_advertising.evaluator:ClickCalibration"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec run advertising``."""
    return [Path(__file__).parent / "recipes"]
