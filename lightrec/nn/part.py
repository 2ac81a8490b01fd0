"""The base class of parts: modules that serve after training, saved as a folder."""

import inspect
import json
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_model, save_model
from torch import nn

from lightrec.blame import provider
from lightrec.data.files import new_file
from lightrec.errors import PluginError, RunError
from lightrec.trust import ARGUMENTS, arguments_of, described, trusted_class

CLASS_FILE = "class.txt"
"""Names a saved part's class, ``module:Class``."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
"""The other files of a saved part, called as on the Hugging Face hub."""


class Part(nn.Module):
    """A module that saves and loads itself: constructor arguments as JSON, weights as safetensors.

    The files are those of a model on the Hugging Face hub, from which a part can be loaded; `hf
    upload` takes its folder there. Constructor arguments are plain Python or parts, and typed. A
    part among them is written as its class and arguments, and must be of the argument's type where
    it is built again.
    """

    _arguments: dict[str, Any]
    _lost: list[str]

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Note the constructor's arguments; what JSON cannot hold is left out."""
        part = super().__new__(cls)
        names = inspect.signature(cls.__init__).parameters
        called_with = {n: p.default for n, p in names.items() if p.default is not p.empty}
        called_with |= dict(zip([*names][1:], arguments, strict=False)) | settings
        plain = {name: described(value) for name, value in called_with.items()}
        part._arguments = {n: value for n, value in plain.items() if _can_be_written(value)}
        required = {name for name, each in names.items() if each.default is each.empty}
        part._lost = [
            name
            for name, value in called_with.items()
            if name not in (*part._arguments, *required)
            and value is not getattr(names.get(name), "default", None)
        ]
        return part

    @classmethod
    def from_pretrained(cls, folder: str | Path, **settings: Any) -> Self:
        """Load a part of this class, in evaluation mode.

        :param folder: that of a part; or a repository of the hub, such as ``somebody/ranker``.
        :param settings: in place of arguments that the folder names.
        :raises RunError: where the settings or the weights are not those of such a part.
        """
        if not (path := Path(folder)).is_dir():
            from huggingface_hub import snapshot_download  # only for what lies elsewhere

            path = Path(snapshot_download(str(folder)))
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        arguments = arguments_of(cls, config) | settings
        try:
            part = cls(**arguments)
        except ValueError as error:
            raise RunError(
                f"No {cls.__name__} can be made with the settings in {path / CONFIG}: {error} "
                "Another release may have saved it: make its stage again."
            ) from error
        lacking, left = load_model(part, path / WEIGHTS, strict=False)
        if lacking or left:
            raise RunError(
                f"The weights in {path / WEIGHTS} are not those of a {cls.__name__} with the "
                f"settings in {CONFIG}: {', '.join(sorted(lacking)) or 'none'} are missing, and "
                f"{', '.join(sorted(left)) or 'none'} belong to no part of it. Another release may "
                "have saved it: make its stage again."
            )
        return part.eval()

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
        return trusted_class(path.read_text().strip(), cls).from_pretrained(folder)

    @property
    def description(self) -> dict[str, Any]:
        """The part's class and constructor arguments, plain Python."""
        return {**described(type(self)), ARGUMENTS: dict(self._arguments)}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the part into a folder, which is made where it is not there.

        :raises PluginError: where an argument would be lost, and the default take its place.
        """
        if self._lost:
            raise PluginError(
                f"{provider(self)} was made with an argument {self._lost[0]} that cannot "
                "be written down, so that it would be loaded without. Take plain arguments and "
                "parts, and keep tensors in buffers."
            )
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with new_file(folder / WEIGHTS) as part:
            save_model(self, str(part))
        (folder / CONFIG).write_text(json.dumps(self._arguments, sort_keys=True, indent=2))
        kind = type(self)
        (folder / CLASS_FILE).write_text(f"{kind.__module__}:{kind.__qualname__}\n")
        if not (folder / CARD).exists():
            (folder / CARD).write_text(
                f"---\nlibrary_name: lightrec\n---\n\n# {kind.__name__}\n\nA part that lightrec "
                f"learned: `{CONFIG}` holds its settings, `{WEIGHTS}` its weights. "
                f"`{kind.__module__}.{kind.__qualname__}.from_pretrained(folder)` loads it.\n"
            )


def _can_be_written(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
