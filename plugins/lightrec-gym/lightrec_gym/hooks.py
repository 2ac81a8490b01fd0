"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.api import gives

LIGHTREC_API = 2

lightrec_simulators = gives({"DiscreteGymnasium": "lightrec_gym.games:DiscreteGymnasium"})
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
