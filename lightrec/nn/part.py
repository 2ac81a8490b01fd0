"""The base class of parts: modules that serve after training, saved as a folder."""

import contextlib
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from torch import nn

from lightrec.data.files import usual_mode
from lightrec.errors import RunError
from lightrec.trust import ARGUMENTS, arguments_of, described, trusted_class

CLASS_FILE = "class.txt"
"""Names a saved part's class, ``module:Class``."""


class Part(nn.Module, PyTorchModelHubMixin):
    """A module that saves and loads itself: constructor arguments as JSON, weights as safetensors.

    ``save_pretrained(folder)`` and ``from_pretrained(folder)`` are those of the Hugging Face hub.
    Constructor arguments are plain Python or parts, and typed. A part among them is written as its
    class and arguments, and must be of the argument's type where it is built again.
    """

    @classmethod
    def from_pretrained(cls, folder: str | Path, **settings: Any) -> Self:  # type: ignore[override]
        """Load a part from a folder; what the hub prints is suppressed."""
        with contextlib.redirect_stdout(None):
            return super().from_pretrained(folder, **settings)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a part of this class or of one that is derived from it, in evaluation mode.

        :raises RunError: where the folder holds none, or names a class that is not trusted.
        """
        path = Path(folder) / CLASS_FILE
        if not path.is_file():
            raise RunError(
                f"There is no {cls.__name__} in {folder}: {CLASS_FILE} is missing. Run the stage "
                "that learns it first."
            )
        return trusted_class(path.read_text().strip(), cls).from_pretrained(folder).eval()

    @property
    def description(self) -> dict[str, Any]:
        """The part's class and constructor arguments, plain Python."""
        given: Any = self._hub_mixin_config
        return {**described(type(self)), ARGUMENTS: dict(given or {})}

    @classmethod
    def _is_jsonable(cls, value: Any) -> bool:
        return bool(super()._is_jsonable(described(value)))

    @classmethod
    def _encode_arg(cls, arg: Any) -> Any:
        return super()._encode_arg(described(arg))

    @classmethod
    def _from_pretrained(cls, **settings: Any) -> Self:
        return super()._from_pretrained(**arguments_of(cls, settings))

    def _save_pretrained(self, save_directory: Path) -> None:
        with usual_mode(Path(save_directory) / SAFETENSORS_SINGLE_FILE):
            super()._save_pretrained(save_directory)
        name = f"{type(self).__module__}:{type(self).__qualname__}\n"
        (Path(save_directory) / CLASS_FILE).write_text(name)

    def generate_model_card(self, *arguments: Any, **settings: Any) -> ModelCard:
        """Describe the folder in its README.md; the mixin's own card says it was uploaded."""
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return ModelCard(
            f"---\nlibrary_name: lightrec\n---\n\n# {type(self).__name__}\n\nA part that lightrec "
            "learned: `config.json` holds its settings, `model.safetensors` its weights. "
            f"`{kind}.from_pretrained(folder)` loads it.\n"
        )
