"""A generator that reads by a causal language model: titles go in, digits come out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightrec.encoders.cut import Cut
from lightrec.nn.precision import full_precision
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.language_readers import SMOLLM, Decoder
from lightrec_generate.tree import TreeGenerator


class LanguageGenerator(TreeGenerator):
    """Reads histories as titles, a line an item, and writes digits as its own additional tokens.

    The state after an item is what the small tower says of the items so far, plus a linear map,
    zero at first, of what a causal language model says at the end of the item's line. One pass of
    the model gives the states after all items, so that every position is an example to learn from.
    The model is trained through low-rank adapters (LoRA, Hu et al. 2022), and files hold these
    alone, with the base model's name. Of items that join later no line is read. The law and
    the policy are those of a :class:`~lightrec_generate.tree.TreeGenerator`, as are the other
    parameters.

    :param model: the language model, as of :class:`~lightrec_generate.language_readers.Decoder`.
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
        :param words: of N + 1 items, from
            :func:`~lightrec_generate.language_readers.words_of_items`; none of them are lines
            without words.
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
