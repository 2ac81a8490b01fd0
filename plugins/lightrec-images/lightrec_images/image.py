"""Pictures into vectors by a Hugging Face vision model, kept on disk by content."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.api import DataError, Encoder, FetchError
from lightrec.encoders.base import SHOWN, through_cache
from lightrec.encoders.hub import DIGEST, files_of, fingerprint_of, loaded

VERSION = 1
"""Counts changes of how pictures are read: older vectors are then no longer used."""


class ImageEncoder(Encoder):
    """Any Hugging Face vision model, such as CLIP, DINOv2 or ViT; vectors have norm 1.

    A model of pictures and texts gives its picture features, any other its pooled output. Where a
    model's files have no weights for that, it is the state of its class token, or without one the
    mean of its states.

    Vectors are kept as those of texts are, by the content of picture and weights.

    :param model: name on the hub, such as ``openai/clip-vit-base-patch32``, or a folder.
    :param folder: where the paths in the column begin.
    :param batch_size: pictures encoded at once.
    :param cache: whether vectors are read from disk and written to it.
    :param device: where the model runs; None takes a GPU where there is one.
    :raises FetchError: when the model is first needed and cannot be had.
    """

    column = "image"
    reads_words = False

    def __init__(
        self,
        model: str,
        folder: str = ".",
        batch_size: int = 32,
        cache: bool = True,
        device: str | None = None,
    ) -> None:
        self.model, self.folder, self.batch_size, self.cache = model, folder, batch_size, cache
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def size(self) -> int:
        """Length of the vectors, as the model's configuration says."""
        from transformers import AutoConfig

        config = loaded(AutoConfig, self._source)
        vision = getattr(config, "vision_config", config)
        length = getattr(config, "projection_dim", None) if vision is not config else None
        return int(length or getattr(vision, "hidden_size", None) or vision.hidden_sizes[-1])

    @property
    def about(self) -> Mapping[str, object]:
        """The model."""
        return {**super().about, "model": self.model}

    def encode(self, values: Sequence[str]) -> Tensor:
        """Encode pictures by their paths, equal ones once: ``(len(values), size)`` of norm 1.

        :raises DataError: where a file is missing or no picture.
        """
        files = [Path(self.folder, value) for value in values]
        if lost := [path for path in files if not path.is_file()]:
            raise DataError(
                f"{len(lost):,} of {len(files):,} pictures are not there, such as {lost[0]}: give "
                "the `folder` in which the paths begin, fetch what is on the web, and leave the "
                "path empty where an item has no picture."
            )
        marks = [
            hashlib.blake2b(path.read_bytes(), digest_size=DIGEST).hexdigest() for path in files
        ]
        places = dict(zip(marks, files, strict=True))
        version = fingerprint_of(self._source, f"picture {VERSION}") if self.cache else None
        return through_cache(
            version, self.size, marks, lambda some: self._vectors([places[mark] for mark in some])
        )

    @torch.no_grad()
    def _vectors(self, files: Sequence[Path]) -> Tensor:
        processor, model, pools = self._loaded
        parts = []
        for at in range(0, len(files), self.batch_size):
            pictures = [_picture(path) for path in files[at : at + self.batch_size]]
            inputs = processor(images=pictures, return_tensors="pt").to(self.device)
            output = getattr(model, "get_image_features", model)(**inputs)
            if pools and getattr(output, "pooler_output", None) is not None:
                vectors = output.pooler_output.flatten(1)
            else:
                first = any(name.endswith("cls_token") for name, _ in model.named_parameters())
                states = output.last_hidden_state
                vectors = states[:, 0] if first else states.mean(1)
            parts.append(normalize(vectors.float(), dim=1).cpu())
        return torch.cat(parts)

    @cached_property
    def _source(self) -> Path:
        return files_of(self.model)

    @cached_property
    def _loaded(self) -> tuple[Any, Any, bool]:
        """The processor, the model, and whether its pooled output has weights of its own.

        :raises FetchError: where the model cannot be loaded, or its files lack weights.
        """
        from transformers import AutoImageProcessor, AutoModel

        processor = loaded(AutoImageProcessor, self._source)
        how = {"dtype": torch.float32, "output_loading_info": True}
        model, info = loaded(AutoModel, self._source, **how)
        if lost := [name for name in info["missing_keys"] if "pooler" not in name]:
            raise FetchError(
                f"The files of the model {self.model} lack {len(lost)} of its weights, such as "
                f"{min(lost)[:SHOWN]}, which would be drawn at random: name a whole vision model."
            )
        pools = not any("pooler" in name for name in info["missing_keys"])
        return processor, model.eval().to(self.device), pools


def _picture(path: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except (OSError, ValueError) as error:
        raise DataError(f"It cannot be read as a picture ({error}).", source=path) from error
