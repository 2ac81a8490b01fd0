"""TorchMetrics without plots and language models: half of what importing Lightning takes."""

from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SPARED = ("matplotlib", "scipy", "transformers")
"""Optional packages that TorchMetrics imports where they are there, and that no command needs."""


class SparseMetrics:
    """A finder on ``sys.meta_path`` that finds nothing, but sees when TorchMetrics is imported.

    To TorchMetrics the packages in ``SPARED`` are then missing: its metrics cannot be plotted, and
    it has neither BERTScore nor metrics of sound. Lightning imports it for one base class, and only
    the command line's own process is changed.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Prepare the import of TorchMetrics; leave finding to others."""
        if name == "torchmetrics":
            from lightning_utilities.core import imports

            class Requirement(imports.RequirementCache):
                def _check_requirement(self: Any) -> None:
                    super()._check_requirement()
                    if str(self.requirement).partition(">")[0] in SPARED:
                        self.available = False

            def there(package: str, found: Any = imports.package_available) -> bool:
                return package not in SPARED and found(package)

            vars(imports).update(RequirementCache=Requirement, package_available=there)
        return None
