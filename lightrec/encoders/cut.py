"""A transformer that is cut below one of its layers, and texts up to the cut."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lightrec.data.files import cache_folder
from lightrec.encoders.base import to_cache
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError
from lightrec.progress import progress_bar

CHUNK: Final = 64
"""Texts that are read at once, of like lengths."""
BAR: Final = 2_000
"""Fewer texts are read without a progress bar."""


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
            print(f"The states in {path} are damaged, and are computed again.", file=sys.stderr)
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
