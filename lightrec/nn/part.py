"""The base class of parts: modules that serve after training, saved as a folder."""

import contextlib
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import nn


class Part(nn.Module, PyTorchModelHubMixin):
    """A module that saves and loads itself: constructor arguments as JSON, weights as safetensors.

    ``save_pretrained(folder)`` and ``from_pretrained(folder)`` are those of the Hugging Face hub;
    constructor arguments must be plain Python.
    """

    @classmethod
    def from_pretrained(cls, folder: str | Path, **settings: Any) -> Self:  # type: ignore[override]
        """Load a part from a folder, without the hub's word about it on the standard output."""
        with contextlib.redirect_stdout(None):
            part: Self = super().from_pretrained(folder, **settings)
        return part

    def generate_model_card(self, *arguments: Any, **settings: Any) -> ModelCard:
        """Describe the folder in its README.md; the mixin's own card says it was uploaded."""
        kind = type(self)
        return ModelCard(
            "---\nlibrary_name: lightrec\n---\n\n"
            f"# {kind.__name__}\n\nA part that lightrec learned: `config.json` holds its settings, "
            f"`model.safetensors` its weights. "
            f"`{kind.__module__}.{kind.__qualname__}.from_pretrained(folder)` loads it.\n"
        )
