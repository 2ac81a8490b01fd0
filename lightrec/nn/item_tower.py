"""The item tower: ids, projected text vectors, what is read of words, or their sum.

A ranker is given what reads words as it is its tower: as what makes one of three sizes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.keys import PADDING

BUCKETS = 4
"""Parts in which items are read, by their numbers of words, which spares padding."""
BLOCK = 4096
"""Items read at once where no gradient is asked for."""


DEFAULT = "SelfAttentionReader"
"""Reader of words where nothing else is named, of the package lightrec-news."""


class ItemReader(nn.Module, ABC):
    """Reads the words of items, and gives each item a vector.

    The constructor takes the width D of the vectors, the width E of words' vectors and the number
    of columns C first; its other arguments are settings with defaults.
    """

    @abstractmethod
    def forward(self, words: Tensor, columns: Sequence[Tensor]) -> Tensor:
        """Read items.

        :param words: (U, E) vectors of the distinct words that some items have; row 0 is padding.
        :param columns: for each of the C columns (M, T) int64, the rows of the words that M items
            have there, in their order, and then padding; T is the largest number of words.
        :returns: (M, D); zeros for an item without any word.
        """


class ItemTower(nn.Module):
    """Item vectors from ids, from texts by a linear map, from words, or their sum.

    What a reader makes of words is trained with all else. It is computed once for each distinct
    item that is asked for; and once for all items, as long as nothing is trained.

    :param num_items: number of items N.
    :param size: length D of the vectors given.
    :param vector_size: length of the text vectors V; 0 where there are none.
    :param use_ids: whether every item has a vector of its own.
    :param reading: columns C that are read, words T of each, words of the vocabulary W, its word of
        padding included, and length E of their vectors; C is 0 where nothing is read.
    :param reader: makes what reads them of D, E and C; None for :data:`DEFAULT`.
    :param use_text: whether text vectors count; without, they are only there for others.
    :raises ValueError: where items have neither ids, nor texts, nor words.
    :raises PluginError: where the reader cannot be built.
    """

    vectors: Tensor
    """(N + 1, V) float32 text vectors, row 0 zero; a buffer, saved with the weights."""
    tokens: Tensor
    """(N + 1, C, T) int32 numbers of words, 0 for padding; a buffer, where any are read."""
    _read_before: Tensor | None
    """(N + 1, D) what the reader makes of all items, as long as nothing is trained."""

    def __init__(
        self,
        num_items: int,
        size: int,
        vector_size: int,
        use_ids: bool,
        reading: tuple[int, int, int, int] = (0, 0, 0, 0),
        reader: Callable[[int, int, int], ItemReader] | None = None,
        use_text: bool = True,
    ) -> None:
        super().__init__()
        columns, length, words, width = reading
        use_text = use_text and vector_size > 0
        if not (use_ids or use_text or columns):
            raise ValueError(
                "Items need an id embedding, text vectors or words: set use_ids to true, give a "
                "text encoder, or name columns to read in the data section, as `reads: [title]`."
            )
        self.num_items, self.size = num_items, size
        self.ids = nn.Parameter(torch.randn(num_items + 1, size) * 0.02) if use_ids else None
        self.project = nn.Linear(vector_size, size, bias=False) if use_text else None
        self.register_buffer("vectors", torch.zeros(num_items + 1, vector_size))
        if self.project is not None and use_ids:
            # Next to an id the text counts for nothing at first.
            nn.init.zeros_(self.project.weight)
        if self.ids is not None:
            self.ids.data[PADDING] = 0
        self.reader: ItemReader | None = None
        if columns:
            self.words = nn.Parameter(torch.randn(words, width) * width**-0.5)
            self.words.data[0] = 0
            with blaming(self, "build its reader"):
                if reader is None:
                    reader = plugins.installed().get("components", DEFAULT).load()
                self.reader = reader(size, width, columns)
            # As for texts: next to an id words count for nothing at first.
            self.gain = nn.Parameter(torch.zeros(size) if use_ids else torch.ones(size))
            shape = num_items + 1, columns, length
            self.register_buffer("tokens", torch.zeros(shape, dtype=torch.int32))
            self.register_buffer("_read_before", None, persistent=False)

    @property
    def uses_text(self) -> bool:
        """Whether there are text vectors."""
        return self.vectors.shape[1] > 0

    def set_vectors(self, vectors: Tensor) -> None:
        """Take text vectors, (N + 1, V); the buffer becomes this very tensor where it can."""
        if vectors.shape != self.vectors.shape:
            raise ValueError(
                f"Text vectors of shape {tuple(vectors.shape)} do not fit: expected "
                f"{tuple(self.vectors.shape)}."
            )
        self.vectors = vectors.to(self.vectors.device, torch.float32)

    @torch.no_grad()
    def set_tokens(self, table: Tensor, start: Tensor | None = None) -> None:
        """Take the numbers of words, (N + 1, C, T), and where their vectors start, (W, E)."""
        self.tokens.copy_(table)
        if start is not None:
            self.words.copy_(start)

    def train(self, mode: bool = True) -> "ItemTower":
        """Train, or serve; what was read is read again."""
        self._read_before = None
        return super().train(mode)

    def _load_from_state_dict(self, *arguments: Any, **settings: Any) -> None:
        self._read_before = None
        super()._load_from_state_dict(*arguments, **settings)

    def read(self, items: Tensor | None = None) -> Tensor:
        """Vectors that the reader makes; arguments and shapes are those of :meth:`forward`.

        A model that is being trained reads what it is asked for, each distinct item once; any other
        reads all items the first time.
        """
        changes = self.training or (torch.is_grad_enabled() and self.words.requires_grad)
        if changes and items is not None:
            distinct, place = items.unique(return_inverse=True)
            return nn.functional.embedding(place, self._of_tokens(self.tokens[distinct]))
        table = self._read_before
        if changes:
            table = self._of_tokens(self.tokens)
        elif table is None:
            with torch.no_grad():
                table = torch.cat([self._of_tokens(some) for some in self.tokens.split(BLOCK)])
            # A tensor of inference mode is of no use to whoever trains something later.
            self._read_before = None if torch.is_inference_mode_enabled() else table
        return table if items is None else nn.functional.embedding(items, table)

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        """Read items (M, C, T), those with like numbers of words together: (M, D)."""
        order = (tokens != 0).flatten(1).sum(1).argsort()
        parts = order.tensor_split(min(BUCKETS, 1 + len(order) // BUCKETS))
        return torch.cat([self._together(tokens[part]) for part in parts])[order.argsort()]

    def _together(self, tokens: Tensor) -> Tensor:
        """Read items (M, C, T), each distinct word projected once: (M, D)."""
        assert self.reader is not None
        # Padding is the first of them, whether there is any or not.
        words, place = nn.functional.pad(tokens.flatten(), (1, 0)).unique(return_inverse=True)
        places = place[1:].view(tokens.shape)
        longest = (tokens != 0).any(0).sum(1).clamp_min(1).tolist()
        columns = [places[:, c, :length] for c, length in enumerate(longest)]
        return self.gain * self.reader(self.words[words], columns)

    def forward(self, items: Tensor | None = None) -> Tensor:
        """Item vectors.

        :param items: any shape, int64; None for all N + 1 rows.
        :returns: ``(*items.shape, D)`` or ``(N + 1, D)``; zeros for padding.
        """
        parts = []
        if self.ids is not None:
            parts.append(self.ids if items is None else nn.functional.embedding(items, self.ids))
        if self.project is not None:
            parts.append(self.project(self.vectors if items is None else self.vectors[items]))
        if self.reader is not None:
            parts.append(self.read(items))
        total = sum(parts[1:], parts[0])
        if items is None:
            items = torch.arange(len(total), device=total.device)
        return total * (items != PADDING).unsqueeze(-1)
