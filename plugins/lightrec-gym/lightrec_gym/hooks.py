"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import hookimpl

LIGHTREC_API = 1


@hookimpl
def lightrec_simulators() -> dict[str, str]:
    """Give the simulator that plays games of Gymnasium."""
    return {"DiscreteGymnasium": "lightrec_gym.games:DiscreteGymnasium"}


@hookimpl
def lightrec_recipes() -> list[Path]:
    """Give the recipes of ``lightrec fit -c gym/cart-pole-ppo``."""
    return [Path(__file__).parent / "recipes"]
