"""Places of the words in a text, and what a text encoder's first layer reads of them."""

import re
from typing import Final

import torch
from torch import Tensor

from lightrec.encoders.text import TextEncoder
from lightrec.encoders.words import UNSPACED
from lightrec.errors import NotApplicable

_LETTERS: Final = rf"[^\W{UNSPACED}]+"
_JOINED: Final = re.compile(rf"[{UNSPACED}]|{_LETTERS}(?:[-'’]{_LETTERS})*")


def spans_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end; of a script without blanks, its characters."""
    return [word.span() for word in _JOINED.finditer(text)]


def first_layer(encoder: TextEncoder, text: str) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """The input of an encoder's first layer for a text, and where in it each token stands.

    :returns: states (1, T, E) of its T tokens, the same with every token replaced by padding, and
        begin and end of each token: below 0 in a prompt, and equal for marks.
    :raises NotApplicable: where the model's tokenizer does not tell.
    """
    tokenizer, card = encoder.tokenizer, encoder.card
    if not tokenizer.is_fast:
        raise NotApplicable(f"The tokenizer of {encoder.model} does not tell where tokens stand.")
    read = card.prompt + (text.lower() if card.lower else text)
    settings = {"truncation": True, "max_length": card.max_length, "return_tensors": "pt"}
    tokens = tokenizer(read, return_offsets_mapping=True, **settings)
    model = encoder.load_weights()
    numbers: Tensor = tokens["input_ids"].to(next(model.parameters()).device)
    blank = torch.full_like(numbers, tokenizer.pad_token_id or 0)
    with torch.no_grad():
        states, blanks = map(model.get_input_embeddings(), (numbers, blank))  # type: ignore[operator]
    begin = len(card.prompt)
    places = [(int(a) - begin, int(b) - begin) for a, b in tokens["offset_mapping"][0]]
    return states, blanks, places


def vectors_of_states(encoder: TextEncoder, states: Tensor) -> Tensor:
    """Vectors ``(n, size)`` of what the first layer reads, ``(n, T, E)``."""
    mask = torch.ones(states.shape[:2], dtype=torch.int64, device=states.device)
    return encoder({"inputs_embeds": states, "attention_mask": mask})
