"""Tuned parts of a text encoder: a map of its vectors, its upper layers, adapters, or all."""

import hashlib
import os
import sys
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, normalize
from torch.nn.utils.rnn import pad_sequence

from lightrec.data.files import cache_folder
from lightrec.encoders.base import to_cache
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError
from lightrec.progress import progress_bar

Tuning = Literal["layers", "lora", "full"]
CHUNK: Final = 64
"""Texts that are read at once, of like lengths."""
BAR: Final = 2_000
"""Fewer texts are read without a progress bar."""
ALIKE: Final = 8
"""Number of texts, the longest, that tell whether a model can be cut."""
NEAR: Final = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 1e-2}
"""Cosine that a cut model's vector and the whole one's may lack, by the numbers of the weights."""
ADAPTERS: Final = "adapter"
"""Folder, within that of a model with merged adapters, that holds them alone as peft has them."""


class Tuned(nn.Module):
    """A part that is tuned: texts, by number, into vectors."""

    exact: ClassVar[bool]
    """Whether the vectors of all texts cost so little that each step computes them."""
    batch_size: ClassVar[int]
    """Texts in a batch where the recipe does not say."""
    learning_rate: ClassVar[float]
    """The highest learning rate where the recipe does not say."""

    @abstractmethod
    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors of texts, (B,) int64 from 1, as (B, V) of norm 1; differentiable."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """The optimizer's groups of what learns; without a rate of their own, at ``rate``."""
        return [{"params": [each for each in self.parameters() if each.requires_grad]}]

    @abstractmethod
    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder as it is now into an existing folder.

        :param noted: how it was made.
        """


class LinearMap(Tuned):
    """A square linear map of an encoder's vectors, which starts as the identity.

    :param size: length of the vectors V.
    """

    exact = True
    batch_size = 512
    learning_rate = 3e-3
    frozen: Tensor
    """(D + 1, V) float32, the texts' vectors as the encoder gives them; row 0 zero."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(size, size))
        self.register_buffer("frozen", torch.zeros(1, size), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Map the frozen vectors."""
        vectors = self.frozen[numbers]
        return nn.functional.normalize(vectors + vectors @ self.change.T, dim=1)

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with the map as its last dense layer."""
        change = self.change.detach().cpu()
        encoder.save(folder, noted, torch.eye(len(change)) + change)


class Layers(Tuned):
    """The upper layers of an encoder's transformer, or adapters in them; what is below stays.

    What the layers below give is computed once for every text and kept as it is, in a file that is
    mapped into memory. Where the layers of a model cannot be run by themselves, each step runs the
    whole model. Over the transformer lies a square linear map as in :class:`LinearMap`, which
    learns along.

    The whole model is part of the module, so that it can be sharded;
    :meth:`~torch.nn.Parameter.requires_grad` says what is learned.

    :param encoder: gives its model away; it would load another one to encode more.
    :param texts: D different texts, by number less 1.
    :param tune: ``layers`` trains the layers' own weights; ``lora`` (Hu et al. 2021) matrices of
        low rank beside these, by peft; ``full`` all layers and the embeddings, too, so that nothing
        is computed before.
    :param layers: how many layers, from above, are trained or get adapters; None for all.
    :param adapter: settings of peft's ``LoraConfig``, such as ``r``.
    :param checkpointing: whether states are computed anew on the way back: memory for time.
    :raises RecipeError: where the model has fewer layers, or cannot be tuned so, or peft lacks.
    """

    exact = False
    batch_size = 64
    learning_rate = 3e-4

    def __init__(
        self,
        encoder: TextEncoder,
        texts: Sequence[str],
        tune: Tuning = "layers",
        layers: int | None = 2,
        adapter: Mapping[str, Any] | None = None,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        model: Any = encoder.load_weights()
        if encoder.quantization is not None and tune != "lora":
            raise RecipeError(
                f"The weights of {encoder.model} have {encoder.quantization} bits each, and only "
                "adapters beside such can be trained: set `tune: lora`, or `tune: map`."
            )
        model.requires_grad_(False)
        entire = tune == "full" or (layers is None and not stacks(model))
        self.cut: Cut | None = None if entire else Cut(model, layers)
        upper: nn.Module = model if self.cut is None else self.cut.upper
        self.texts = Texts.of(encoder, self.cut, texts)
        if self.cut is not None and not self._is_whole(encoder, texts):
            whole = f"{type(model).__name__} do not run by themselves: each step runs all of it"
            print(f"The layers of {whole}.", file=sys.stderr)
            self.cut, self.texts = None, Texts.of(encoder, None, texts)
        self._adapted: tuple[Any, ...] = ()  # beside the module's own parts
        if tune == "lora":
            self._adapted = (_adapted(model, upper, adapter or {}),)
        else:
            upper.requires_grad_(True)
            if getattr(model, "pooler", None) is not None:
                model.pooler.requires_grad_(False)
        if checkpointing:
            model.gradient_checkpointing_enable()
        for _, _, stack in stacks(model):
            for layer in stack:
                layer.sharded = True  # type: ignore[assignment]
        self.transformer, encoder.transformer = encoder.transformer.train(), None
        self._encoder = (encoder,)
        self.change = nn.Parameter(torch.zeros(encoder.size, encoder.size))

    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors of texts, a batch of like lengths at a time where there are many."""
        rows = numbers.cpu() - 1
        if len(rows) <= 2 * CHUNK:
            return self._vectors(rows)
        order = self.texts.lengths[rows].argsort(stable=True)
        vectors = torch.cat([self._vectors(some) for some in rows[order].split(CHUNK)])
        return torch.empty_like(vectors).index_copy(0, order.to(vectors.device), vectors)

    def _vectors(self, rows: Tensor) -> Tensor:
        (encoder,), device = self._encoder, self.change.device
        inputs, mask = (part.to(device) for part in self.texts.batch(rows))
        # On CPUs the fused attention is the slower one, by a third of a step in bfloat16.
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            if self.cut is None:
                tokens = {"input_ids": inputs, "attention_mask": mask}
                states = self.transformer(tokens)["token_embeddings"]
            else:
                states = self.cut(inputs.to(self.change.dtype), mask)
        vectors = encoder.finish(encoder.pool(self.texts.features(states, mask)))
        return normalize(vectors + vectors @ self.change.float().T, dim=1)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Let the map learn at its own rate, as many times faster as it is by default."""
        faster = rate * LinearMap.learning_rate / self.learning_rate
        learned = [each for each in self.transformer.parameters() if each.requires_grad]
        return [{"params": learned}, {"params": [self.change], "lr": faster}]

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with its weights as they are now, and the map.

        Adapters are merged, and lie in the folder ``adapter`` besides; they are left alone where
        the weights below are quantized.
        """
        encoder.transformer = self.transformer
        kept: Literal["changed", "adapter"] = "changed"
        if self._adapted and encoder.quantization is not None:
            kept = "adapter"
        for adapted in self._adapted:
            adapted.peft_config["default"].base_model_name_or_path = encoder.model
            adapted.save_pretrained(folder / ADAPTERS if kept == "changed" else folder)
            if kept == "changed":
                adapted.merge_and_unload()
        change = self.change.detach().float().cpu()
        encoder.save(folder, noted, torch.eye(len(change)) + change, kept)

    @torch.no_grad()
    def _is_whole(self, encoder: TextEncoder, texts: Sequence[str]) -> bool:
        """Whether cut and whole model give the same vectors of the longest texts."""
        assert self.cut is not None
        longest = self.texts.lengths.argsort(descending=True, stable=True)[:ALIKE]
        inputs, mask = (part.to(encoder.device) for part in self.texts.batch(longest))
        whole, alike = encoder.encode_once([texts[n] for n in longest]), torch.tensor(-1.0)
        # What a model of another make does to states that are not its own is not known.
        with suppress(AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            states = self.cut(inputs, mask)
            ours = encoder.finish(encoder.pool(self.texts.features(states, mask)))
            alike = cosine_similarity(ours.cpu(), whole).min()
        rounded = encoder.quantization is not None
        return bool(1 - alike < NEAR[torch.bfloat16 if rounded else inputs.dtype])


class Cut:
    """A transformer that is cut below one of its layers.

    :param model: a Hugging Face model whose layers stand in one list; is not changed.
    :param layers: how many are above the cut; None for all, so that the embeddings are below.
    :raises RecipeError: where there are no such layers.
    """

    def __init__(self, model: Any, layers: int | None) -> None:
        found = stacks(model)
        count = len(found[0][-1]) if found else 0
        layers = count if layers is None else layers
        if not 0 < layers <= count:
            raise RecipeError(
                f"{layers} upper layers are to be tuned in {type(model).__name__}, which has "
                f"{count or 'none in one list'}: set `layers` from 1 to that, or `tune: full`."
            )
        self.model, (self.owner, self.name, self.stack) = model, found[0]
        self.below = count - layers

    @property
    def upper(self) -> nn.ModuleList:
        """The layers above the cut, as they are now: FSDP wraps them."""
        return self.stack[self.below :]

    def lower(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """States that enter the lowest of the upper layers, (B, T, H), of tokens (B, T)."""
        states: list[Tensor] = []

        def catch(_: nn.Module, arguments: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
            states.append(arguments[0] if arguments else named["hidden_states"])
            raise _Reached

        hook = self.upper[0].register_forward_pre_hook(catch, with_kwargs=True)
        with hook, suppress(_Reached):
            self.model(input_ids=tokens, attention_mask=mask)
        return states[0]

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states, (B, T, H), of what :meth:`lower` gave."""
        first, beside = self.upper[0], self._beside

        def enter(*arguments: Tensor, **named: Any) -> Any:
            named.pop("hidden_states", None)
            return first(states, *arguments[1:], **named)

        def begin(*arguments: Tensor, **named: Any) -> Any:
            nonlocal beside
            _, *beside = self.stack[0](*arguments, **named)
            return (states, *beside)

        def skip(*_: Tensor, **__: Any) -> Any:
            return states if beside is None else (states, *beside)

        # A layer's place says what it attends to and where it is, so that all keep theirs.
        lower = [_Instead(layer, skip) for layer in self.stack[: self.below]]
        if lower and any(isinstance(part, Tensor) for part in beside or ()):
            # The lowest layer makes what the others are handed, such as T5's biases of places.
            lower[0] = _Instead(self.stack[0], begin)
        above = nn.ModuleList([*lower, _Instead(first, enter), *self.upper[1:]])
        setattr(self.owner, self.name, above)
        try:
            # Of tokens, no more than their number is read.
            tokens = torch.zeros_like(mask)
            return self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        finally:
            setattr(self.owner, self.name, self.stack)

    @cached_property
    def _beside(self) -> Sequence[object] | None:
        """Values that a layer gives after its states; None where it gives them alone."""
        outputs: list[Any] = []
        tokens = torch.zeros(1, 2, dtype=torch.int64, device=next(self.model.parameters()).device)
        hook = self.stack[0].register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
        with hook, torch.no_grad():
            self.model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
        return outputs[0][1:] if isinstance(outputs[0], tuple) else None


def stacks(model: Any) -> list[tuple[nn.Module, str, nn.ModuleList]]:
    """Lists of as many layers as a Hugging Face model has: what holds each, and its name there."""
    count = model.config.get_text_config().num_hidden_layers
    return [
        (module, name, stack)
        for module in model.modules()
        for name, stack in module.named_children()
        if isinstance(stack, nn.ModuleList) and len(stack) == count
    ]


class Texts:
    """Texts one after the other, as tokens or as the states below a cut.

    :param contents: (S,) int64 tokens, or (S, H) states.
    :param lengths: (D,) int64: how many of them each text has.
    :param prompt_length: how many of them are the prompt's; None where there is no prompt.
    """

    def __init__(self, contents: Tensor, lengths: Tensor, prompt_length: int | None = None) -> None:
        self.contents, self.lengths, self.prompt_length = contents, lengths, prompt_length
        self.ends = lengths.cumsum(0)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some texts padded on the right, (B, T) or (B, T, H), and their mask, (B, T)."""
        lengths, ends = self.lengths[rows].tolist(), self.ends[rows].tolist()
        parts = [self.contents[end - n : end] for n, end in zip(lengths, ends, strict=True)]
        padded = pad_sequence(parts, batch_first=True)
        mask = torch.arange(padded.shape[1]) < self.lengths[rows][:, None]
        return padded, mask.long()

    def features(self, states: Tensor, mask: Tensor) -> dict[str, Any]:
        """What is pooled of last hidden states, (B, T, E)."""
        features = {"token_embeddings": states.float(), "attention_mask": mask}
        prompt = {} if self.prompt_length is None else {"prompt_length": self.prompt_length}
        return features | prompt

    @classmethod
    def of(cls, encoder: TextEncoder, cut: "Cut | None", texts: Sequence[str]) -> "Texts":
        """Read texts up to a cut, which takes one pass; on disk by the content of all."""
        tokens, lengths, prompt_length = [], [], None
        for at in range(0, len(texts), CHUNK):
            part = encoder.tokenize(texts[at : at + CHUNK])
            mask, prompt_length = part["attention_mask"], part.get("prompt_length")
            tokens.append(part["input_ids"][mask.bool()])
            lengths.append(mask.sum(1))
        read = cls(torch.cat(tokens), torch.cat(lengths), prompt_length)
        return read if cut is None else read._below(encoder, cut)

    @torch.no_grad()
    def _below(self, encoder: TextEncoder, cut: "Cut") -> "Texts":
        kind, path = getattr(torch, encoder.dtype), None
        if encoder.fingerprint is not None:
            words = f"{encoder.fingerprint} {cut.below} {kind}"
            mark = hashlib.blake2b(words.encode(), digest_size=16)
            mark.update(self.contents.numpy().tobytes() + self.lengths.numpy().tobytes())
            path = cache_folder() / "states" / f"{mark.hexdigest()}.safetensors"
        if path is not None and path.is_file():
            if (states := _read(path, len(self.contents))) is not None:
                return Texts(states, self.lengths, self.prompt_length)
            print(f"The states in {path} are damaged, and are computed anew.", file=sys.stderr)
        encoder.eval()
        order = self.lengths.argsort(stable=True)
        states = _on_disk(len(self.contents), encoder.hidden_size, kind)
        with progress_bar(len(order), "text", disable=len(order) < BAR) as bar:
            for rows in order.split(CHUNK):
                tokens, mask = (part.to(encoder.device) for part in self.batch(rows))
                below = cut.lower(tokens, mask)[mask.bool()].to("cpu", kind)
                starts = (self.ends - self.lengths)[rows].repeat_interleave(self.lengths[rows])
                within = torch.cat([torch.arange(n) for n in self.lengths[rows].tolist()])
                states[starts + within] = below
                bar.update(len(rows))
        if path is not None:
            to_cache({"states": states, "sum": _sum(states)}, path)
        return Texts(states, self.lengths, self.prompt_length)


class _Reached(Exception):
    """The lower layers are done."""


class _Instead(nn.Module):
    """In the place of a layer, whose attributes it shows."""

    def __init__(self, layer: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.__dict__ |= {"layer": layer, "forward": forward}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layer"], name)


def _on_disk(rows: int, size: int, kind: torch.dtype) -> Tensor:
    """Room for numbers (rows, size): in a file without a name, which is mapped into memory, or in
    memory where the disk has no room.
    """
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache_folder()) as file:
            os.posix_fallocate(file.fileno(), 0, rows * size * kind.itemsize)
            return torch.from_file(file.name, True, rows * size, dtype=kind).view(rows, size)
    return torch.zeros(rows, size, dtype=kind)


def _sum(states: Tensor) -> Tensor:
    return states.view(torch.int16).sum(dtype=torch.int64)


def _read(path: Path, count: int) -> Tensor | None:
    """Read states from disk; None where they are damaged."""
    with suppress(OSError, SafetensorError, KeyError):
        stored = load_file(path)
        if len(stored["states"]) == count and _sum(stored["states"]) == stored["sum"]:
            return stored["states"]
    return None


def _adapted(model: Any, upper: nn.Module, settings: Mapping[str, Any]) -> Any:
    """Put adapters beside the linear layers of a model's upper part; gives peft's model.

    :raises RecipeError: where peft is missing, or there are no such layers.
    """
    from transformers.pytorch_utils import Conv1D  # what GPT-2 has in place of linear layers

    try:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    except ImportError as missing:
        raise RecipeError(
            "`tune: lora` needs peft: `pip install lightrec[lora]` brings it."
        ) from missing
    kinds = nn.Linear, Conv1D
    inside = {id(module) for module in upper.modules() if isinstance(module, kinds)}
    targets = tuple(settings.get("target_modules") or [""])
    linear = {name for name, module in model.named_modules() if id(module) in inside}
    names = [name for name in linear if name.endswith(targets)]
    if not names:
        found = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none of torch's"
        raise RecipeError(
            f"`tune: lora` needs linear layers that end in {' or '.join(map(repr, targets))}, and "
            f"{type(model).__name__} has {found}: set `targets` to some of these, or `tune: map`."
        )
    if getattr(model, "quantization_method", None) is not None:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = LoraConfig(**{**settings, "target_modules": names})
    with warnings.catch_warnings():  # peft asks for what transformers has renamed
        warnings.simplefilter("ignore")
        return get_peft_model(model, config)
