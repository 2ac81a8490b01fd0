"""Food, exercises and the like: their words, what must not be shown to whom, a made-up log."""

from pathlib import Path
from types import MappingProxyType

from lightrec_formats.masks import Mask

from lightrec.api import Audience, Domain
from lightrec_health.harm import harmless


class HealthDomain(Domain):
    """Recipes and other things that are good for some people and harm others."""

    name = "health"
    repeats = False
    words = MappingProxyType({"title": "{}", "tags": "Tags: {}", "ingredients": "Ingredients: {}"})
    disclaimer = (
        "This is no medical advice: scores and lists of allergens may be wrong. Read what is on "
        "the package, and ask a doctor or a dietitian."
    )

    def eligible(self, audience: Audience) -> Mask | None:
        """Forbid what harms a person; see :func:`~lightrec_health.harm.harmless`."""
        return harmless(audience)

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a made-up log of people who cook, some of them with allergies."""
        from lightrec_health.made_up import write

        return write(folder, seed)
