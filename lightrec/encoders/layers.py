"""Tuned parts of a text encoder: a map of its vectors, its upper layers, adapters, or all."""

import copy
import hashlib
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

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

Tuning = Literal["layers", "lora", "dora", "full"]
CHUNK: Final = 64
"""Texts that are read at once, of like lengths."""
BAR: Final = 2_000
"""Fewer texts are read without a progress bar."""
ALIKE: Final = 8
"""Number of texts, the longest, that tell whether a model can be cut."""
NEAR: Final = 1e-3
"""Cosine that a cut model's vector and the whole one's may lack: bfloat16 rounds states."""


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

    What the layers below give is computed once for every text and kept in bfloat16, in memory and
    on disk. Over the transformer lies a square linear map as in
    :class:`LinearMap`, which learns along.

    Only what is trained belongs to the module: checkpoints hold nothing else.

    :param encoder: is copied.
    :param texts: D different texts, by number less 1.
    :param tune: ``layers`` trains the layers' own weights; ``lora`` (Hu et al. 2021) and ``dora``
        (Liu et al. 2024) matrices of low rank beside these, by peft; ``full`` all layers and the
        embeddings, too, so that nothing is computed before.
    :param layers: how many layers, from above, are trained or get adapters; None for all.
    :param rank: of the adapters.
    :param checkpointing: whether states are computed anew on the way back: memory for time.
    :raises RecipeError: where the model has fewer layers or cannot be cut, or peft is missing.
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
        rank: int = 8,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        encoder = copy.deepcopy(encoder)
        model: Any = encoder.load_weights()
        model.requires_grad_(False)
        cut = None if tune == "full" else Cut(model, layers)
        self._hidden: tuple[TextEncoder, Cut | None, Any] = (encoder, cut, None)
        self.texts = Texts.of(encoder, cut, texts)
        if cut is not None:
            self._see_that_cut_is_whole(texts)
        encoder.fingerprint = None  # what is on disk is of other weights than it will have
        upper = model if cut is None else cut.upper
        if tune in ("lora", "dora"):
            self._hidden = (encoder, cut, _adapted(model, upper, tune, rank))
        else:
            upper.requires_grad_(True)
            if getattr(model, "pooler", None) is not None:
                model.pooler.requires_grad_(False)
        if checkpointing:
            model.gradient_checkpointing_enable()
        self.change = nn.Parameter(torch.zeros(encoder.size, encoder.size))
        learned = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.learned = nn.ParameterDict({name.replace(".", "/"): p for name, p in learned})

    def _apply(self, *how: Any, **named: Any) -> Self:
        """Move what is not trained along with what is."""
        self._hidden[0]._apply(*how, **named)
        return super()._apply(*how, **named)

    def forward(self, numbers: Tensor) -> Tensor:
        """The vectors of texts, a batch of like lengths at a time where there are many."""
        rows = numbers.cpu() - 1
        if len(rows) <= 2 * CHUNK:
            return self._vectors(rows)
        order = self.texts.lengths[rows].argsort(stable=True)
        vectors = torch.cat([self._vectors(some) for some in rows[order].split(CHUNK)])
        return torch.empty_like(vectors).index_copy(0, order.to(vectors.device), vectors)

    def _vectors(self, rows: Tensor) -> Tensor:
        encoder, cut, _ = self._hidden
        encoder.train(self.training)  # Lightning sets the mode of each module that it sees
        device = self.change.device
        inputs, mask = (part.to(device) for part in self.texts.batch(rows))
        # On CPUs the fused attention is the slower one, by a third of a step in bfloat16.
        with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext():
            if cut is None:
                model = encoder.load_weights()
                states = model(input_ids=inputs, attention_mask=mask).last_hidden_state
            else:
                states = cut(inputs, mask)
        vectors = encoder.finish(encoder.pool(states, mask))
        return normalize(vectors + vectors @ self.change.T, dim=1)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Let the map learn at its own rate, as many times faster as it is by default."""
        faster = rate * LinearMap.learning_rate / self.learning_rate
        return [{"params": self.learned.values()}, {"params": [self.change], "lr": faster}]

    def save(self, encoder: TextEncoder, folder: Path, noted: Mapping[str, object]) -> None:
        """Write the encoder with its weights as they are now, adapters merged, and the map."""
        copied, _, adapted = self._hidden
        if adapted is not None:
            copied.transformer = adapted.merge_and_unload()
        change = self.change.detach().cpu()
        copied.cpu().save(folder, noted, torch.eye(len(change)) + change, changed=True)

    @torch.no_grad()
    def _see_that_cut_is_whole(self, texts: Sequence[str]) -> None:
        """See that cut and whole model give the same vectors of the longest texts.

        :raises RecipeError: where they do not.
        """
        encoder, cut, _ = self._hidden
        assert cut is not None
        longest = self.texts.lengths.argsort(descending=True, stable=True)[:ALIKE]
        inputs, mask = (part.to(encoder.device) for part in self.texts.batch(longest))
        whole, alike = encoder.encode([texts[n] for n in longest]), torch.tensor(-1.0)
        # What a model of another make does to states that are not its own is not known.
        with suppress(AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            ours = encoder.finish(encoder.pool(cut(inputs, mask), mask))
            alike = cosine_similarity(ours.cpu(), whole).min()
        if not 1 - alike < NEAR:
            raise RecipeError(
                f"The layers of {encoder.model} ({type(encoder.transformer).__name__}) cannot be "
                "run by themselves: they do not give what the whole model gives. Set `tune: full` "
                "to train all of it, or `tune: map`."
            )


class Cut:
    """A transformer that is cut below one of its layers.

    :param model: a Hugging Face model whose layers stand in one list; is not changed.
    :param layers: how many are above the cut; None for all, so that the embeddings are below.
    :raises RecipeError: where there are no such layers.
    """

    def __init__(self, model: Any, layers: int | None) -> None:
        count = model.config.num_hidden_layers
        lists = [
            (module, name, stack)
            for module in model.modules()
            for name, stack in module.named_children()
            if isinstance(stack, nn.ModuleList) and len(stack) == count
        ]
        layers = count if layers is None else layers
        if not lists or not 0 < layers <= count:
            raise RecipeError(
                f"{layers} upper layers are to be tuned in {type(model).__name__}, which has "
                f"{count if lists else 'none in one list'}: set `layers` from 1 to that, or "
                "`tune: full`."
            )
        self.model, (self.owner, self.name, self.stack) = model, lists[0]
        self.upper = self.stack[count - layers :]
        self.below = count - len(self.upper)

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
        first = self.upper[0]

        def enter(*arguments: Tensor, **named: Any) -> Any:
            named.pop("hidden_states", None)
            return first(states, *arguments[1:], **named)

        # A layer's place says what it attends to and where it is, so that all keep theirs.
        passed = states if self._beside is None else (states, *self._beside)
        lower = [_Instead(layer, lambda *_, **__: passed) for layer in self.stack[: self.below]]
        above = nn.ModuleList([*lower, _Instead(first, enter), *self.upper[1:]])
        setattr(self.owner, self.name, above)
        try:
            # Of tokens, no more than their number is read.
            tokens = torch.zeros_like(mask)
            return self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        finally:
            setattr(self.owner, self.name, self.stack)

    @cached_property
    def _beside(self) -> tuple[object, ...] | None:
        """Values that a layer gives after its states; None where it gives them alone.

        :raises TypeError: where the next layer needs it.
        """
        outputs: list[Any] = []
        tokens = torch.zeros(1, 2, dtype=torch.int64, device=next(self.model.parameters()).device)
        hook = self.stack[0].register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
        with hook, torch.no_grad():
            self.model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
        beside = tuple(outputs[0][1:]) if isinstance(outputs[0], tuple) else None
        if any(isinstance(part, Tensor) for part in beside or ()):
            raise TypeError("A layer hands more than states to the next one.")
        return beside


class Texts:
    """Texts one after the other, as tokens or as the states below a cut.

    :param contents: (S,) int64 tokens, or (S, H) bfloat16 states.
    :param lengths: (D,) int64: how many of them each text has.
    """

    def __init__(self, contents: Tensor, lengths: Tensor) -> None:
        self.contents, self.lengths = contents, lengths
        self.ends = lengths.cumsum(0)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Some texts padded on the right, (B, T) or (B, T, H), and their mask, (B, T)."""
        lengths, ends = self.lengths[rows].tolist(), self.ends[rows].tolist()
        parts = [self.contents[end - n : end] for n, end in zip(lengths, ends, strict=True)]
        padded = pad_sequence(parts, batch_first=True)
        mask = torch.arange(padded.shape[1]) < self.lengths[rows][:, None]
        return padded if padded.ndim == 2 else padded.float(), mask.long()

    @classmethod
    def of(cls, encoder: TextEncoder, cut: Cut | None, texts: Sequence[str]) -> "Texts":
        """Read texts up to a cut, which takes one pass; on disk by the content of all."""
        parts = [encoder.tokenize(texts[at : at + 1024]) for at in range(0, len(texts), 1024)]
        masks = [part["attention_mask"] for part in parts]
        tokens = [part["input_ids"][mask.bool()] for part, mask in zip(parts, masks, strict=True)]
        read = cls(torch.cat(tokens), torch.cat([mask.sum(1) for mask in masks]))
        return read if cut is None else read._below(encoder, cut)

    @torch.no_grad()
    def _below(self, encoder: TextEncoder, cut: Cut) -> "Texts":
        path = None
        if encoder.fingerprint is not None:
            mark = hashlib.blake2b(f"{encoder.fingerprint} {cut.below}".encode(), digest_size=16)
            mark.update(self.contents.numpy().tobytes() + self.lengths.numpy().tobytes())
            path = cache_folder() / "states" / f"{mark.hexdigest()}.safetensors"
        if path is not None and path.is_file():
            if (states := _read(path, len(self.contents))) is not None:
                return Texts(states, self.lengths)
            print(f"The states in {path} are damaged, and are computed anew.", file=sys.stderr)
        encoder.eval()
        order = self.lengths.argsort(stable=True)
        states = torch.zeros(len(self.contents), encoder.hidden_size, dtype=torch.bfloat16)
        with progress_bar(len(order), "text", disable=len(order) < BAR) as bar:
            for rows in order.split(CHUNK):
                tokens, mask = (part.to(encoder.device) for part in self.batch(rows))
                below = cut.lower(tokens, mask)[mask.bool()].to("cpu", torch.bfloat16)
                starts = (self.ends - self.lengths)[rows].repeat_interleave(self.lengths[rows])
                within = torch.cat([torch.arange(n) for n in self.lengths[rows].tolist()])
                states[starts + within] = below
                bar.update(len(rows))
        if path is not None:
            sums = states.view(torch.int16).long().sum()
            to_cache({"states": states, "sum": sums}, path)
        return Texts(states, self.lengths)


class _Reached(Exception):
    """The lower layers are done."""


class _Instead(nn.Module):
    """In the place of a layer, whose attributes it shows."""

    def __init__(self, layer: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.__dict__ |= {"layer": layer, "forward": forward}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layer"], name)


def _read(path: Path, count: int) -> Tensor | None:
    """Read states from disk; None where they are damaged."""
    with suppress(OSError, SafetensorError, KeyError):
        stored = load_file(path)
        states = stored["states"]
        if len(states) == count and states.view(torch.int16).long().sum() == stored["sum"]:
            return states
    return None


def _adapted(model: Any, upper: nn.Module, tune: Tuning, rank: int) -> Any:
    """Put adapters beside the linear layers of a model's upper part; gives peft's model.

    :raises RecipeError: where peft is missing, or there are no such layers.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as missing:
        raise RecipeError(
            f"`tune: {tune}` needs peft: `pip install lightrec[lora]` brings it."
        ) from missing
    inside = {id(module) for module in upper.modules() if isinstance(module, nn.Linear)}
    names = [name for name, module in model.named_modules() if id(module) in inside]
    if not names:
        raise RecipeError(
            f"`tune: {tune}` needs linear layers, and {type(model).__name__} has none of torch's: "
            "set `tune: layers`, or `tune: map`."
        )
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, use_dora=tune == "dora")
    with warnings.catch_warnings():  # peft asks for what transformers has renamed
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config)
