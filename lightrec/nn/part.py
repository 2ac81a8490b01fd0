"""The base class of parts: modules that serve after training, saved as a folder."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from huggingface_hub import ModelCard, PyTorchModelHubMixin
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from torch import nn

from lightrec.data.files import usual_mode
from lightrec.errors import RunError
from lightrec.trust import trusted_class

CLASS_FILE = "class.txt"
"""Names a saved part's class, ``module:Class``."""


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

    @classmethod
    def build(cls, description: Mapping[str, Any]) -> Self:
        """Build a part of this class or a derived one, with weights as its constructor draws them.

        :param description: as :func:`describe` gives it.
        :raises RunError: where it is something else, or names a class that is not trusted.
        """
        arguments = dict(description)
        return trusted_class(arguments.pop("class"), cls)(**arguments)

    @classmethod
    def of(cls, given: "Part | Mapping[str, Any]") -> Self:
        """Give a part as it is, or build it from its description: for parts within parts.

        A part that holds others keeps their descriptions among its own constructor arguments, see
        :meth:`keep_arguments`.

        :raises RunError: where a description names a class that is not trusted.
        """
        return given if isinstance(given, cls) else cls.build(cast(Mapping[str, Any], given))

    def keep_arguments(self, **arguments: Any) -> None:
        """Keep constructor arguments with which the part is made again; parts are described."""
        self._hub_mixin_config = {name: _plain(value) for name, value in arguments.items()}

    def _save_pretrained(self, save_directory: Path) -> None:
        with usual_mode(Path(save_directory) / SAFETENSORS_SINGLE_FILE):
            super()._save_pretrained(save_directory)
        (Path(save_directory) / CLASS_FILE).write_text(f"{_name(self)}\n")

    def generate_model_card(self, *arguments: Any, **settings: Any) -> ModelCard:
        """Describe the folder in its README.md; the mixin's own card says it was uploaded."""
        kind = type(self)
        return ModelCard(
            "---\nlibrary_name: lightrec\n---\n\n"
            f"# {kind.__name__}\n\nA part that lightrec learned: `config.json` holds its settings, "
            f"`model.safetensors` its weights. "
            f"`{kind.__module__}.{kind.__qualname__}.from_pretrained(folder)` loads it.\n"
        )


def arguments_of(part: PyTorchModelHubMixin) -> dict[str, Any]:
    """Give the constructor arguments with which a part was made, plain Python."""
    return dict(part._hub_mixin_config)  # type: ignore[arg-type]


def describe(part: Part) -> dict[str, Any]:
    """Give a part's constructor arguments and, under ``class``, its ``module:Class``."""
    return {"class": _name(part), **arguments_of(part)}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [_plain(each) for each in value]
    return describe(value) if isinstance(value, Part) else value


def _name(part: Part) -> str:
    return f"{type(part).__module__}:{type(part).__qualname__}"
