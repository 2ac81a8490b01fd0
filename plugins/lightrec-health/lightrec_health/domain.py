"""Food, exercises and the like: their words, what must not be shown to whom, a synthetic log."""

from pathlib import Path
from types import MappingProxyType

import polars as pl
from lightrec_formats.masks import Mask
from lightrec_formats.names import names_in

from lightrec.api import Audience, Domain
from lightrec_health.harm import AGAINST, CHECKED, SAME, harmless


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

    def words_of(self, attribute: str, items: pl.DataFrame) -> list[str]:
        """Let people have whatever items are looked through for, by any of its names."""
        if attribute not in AGAINST:
            return []
        others = [name for names in SAME.values() for name in names] * (attribute == "allergies")
        return [*CHECKED[attribute], *others, *names_in(items, AGAINST[attribute])]

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write a synthetic log of people who cook, some of them with allergies."""
        from lightrec_health.made_up import write

        return write(folder, seed)
