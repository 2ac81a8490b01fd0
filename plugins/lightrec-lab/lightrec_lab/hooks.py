"""What this package adds to lightrec."""

from pathlib import Path

from lightrec.hookspecs import gives

LIGHTREC_API = 1

lightrec_components = gives(
    {
        "GAIL": "lightrec_lab.adversarial:GAIL",
        "AIRL": "lightrec_lab.adversarial:AIRL",
    }
)
lightrec_recipes = gives([Path(__file__).parent / "recipes"])
