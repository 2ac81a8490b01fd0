"""The base class of parts: modules that serve after training, saved as a folder."""

import contextlib
from pathlib import Path
from typing import Any, Self

from huggingface_hub import PyTorchModelHubMixin
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
