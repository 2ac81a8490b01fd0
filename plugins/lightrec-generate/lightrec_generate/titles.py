"""Titles as identifiers: a language model writes an item in its own words, and no other words."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lightrec.ranking.language_readers import SMOLLM, Decoder
from lightrec.ranking.reader_module import ReaderData
from lightrec_generate.generator import Generator
from lightrec_generate.trie import Trie

LINES = 512
"""So many lines are put into tokens at once."""


class TitleDecoder(Decoder):
    """Scores an item by the probability of its title as the next line, among titles alone.

    At every token of a line only those take part that go on in the trie of all items' lines; so the
    probabilities of the catalog sum to 1, in training too. Items with equal lines share theirs in
    equal parts, and are equal in a ranking. A history is read once for all of its candidates, as by
    every :class:`~lightrec.ranking.language_readers.Decoder`, whose parameters these are.
    """

    def __init__(
        self,
        model: str = SMOLLM,
        rank: int = 8,
        target_modules: list[str] | None = None,
        items: int = 5,
        characters: int = 80,
    ) -> None:
        super().__init__(model, "sum", rank, target_modules, items, characters)
        self._titles: tuple[Sequence[str], Trie, Tensor, Tensor] | None = None

    def scores(self, histories: Tensor, candidates: Tensor, words: Sequence[str]) -> Tensor:
        """Give log-probabilities of items; see the base class.

        :param histories: (B, L) int64, padded on the left.
        :param candidates: (B, C) int64; what is said of padding means nothing.
        :param words: of N + 1 items; the law is over all of them.
        :returns: (B, C) float32.
        """
        trie, rows, shared = self.titles(words)
        candidates = candidates.clamp_min(1)
        leaves = trie.place[rows[candidates.cpu().flatten() - 1]]

        def close(_: nn.Module, __: object, logits: Tensor) -> Tensor:
            return closed(logits, trie, leaves)

        with self.base.get_output_embeddings().register_forward_hook(close):
            found = super().scores(histories, candidates, words)
        return found - shared.to(found.device)[candidates - 1].log()

    def titles(self, words: Sequence[str]) -> tuple[Trie, Tensor, Tensor]:
        """Give the trie of items' lines, made once.

        :param words: of N + 1 items.
        :returns: the trie of different lines, whose digits are tokens; ``(N,)`` int64, the number
            of each item's line; ``(N,)`` how many items have it.
        """
        if self._titles is None or self._titles[0] is not words:
            said = [word[: self.characters] for word in words[1:]]
            starts = range(0, len(said), LINES)
            lines = [t for at in starts for t in self._tokens(said[at : at + LINES])]
            # After its end a line has only one way to go on, which costs nothing.
            codes = pad_sequence([torch.tensor(line) for line in lines], batch_first=True)
            codes, rows, count = codes.unique(dim=0, return_inverse=True, return_counts=True)
            size = self.base.get_output_embeddings().weight.shape[0]
            self._titles = (
                words,
                Trie(codes, size, torch.arange(len(codes))),
                rows,
                count[rows].float(),
            )
        return self._titles[1:]


def closed(logits: Tensor, trie: Trie, leaves: Tensor) -> Tensor:
    """Leave to each token of a line only those ways that go on in the trie.

    :param logits: (R, T, V) of lines, token by token.
    :param leaves: (R,) int64: each line's place among the trie's leaves.
    :returns: (R, T, V), minus infinity where no item goes on.
    """
    found = torch.full_like(logits, -torch.inf)
    for depth, level in enumerate(trie.levels[: logits.shape[1]]):
        nodes = torch.searchsorted(level.leaves, leaves, right=True) - 1
        listed, there = trie.children(depth, level.parents[nodes])
        # A row's first way stands for those that it lacks.
        ways = level.digits[listed].where(there, level.digits[listed[:, :1]]).to(logits.device)
        shut = torch.ones_like(logits[:, depth], dtype=torch.bool).scatter(1, ways, False)
        found[:, depth] = logits[:, depth].masked_fill(shut, -torch.inf)
    return found


class TitleData(ReaderData):
    """What a generator puts first at events, for a language model to re-rank.

    :param data: folder of the prepared log.
    :param generator: folder of the stage `generator`, the first stage.
    :param settings: of :class:`~lightrec.ranking.reader_module.ReaderData`.
    """

    def __init__(self, data: str, generator: str, **settings: Any) -> None:
        super().__init__(data, generator, **settings)

    @cached_property
    def first(self) -> Generator:  # type: ignore[override]
        """The first stage."""
        return Generator.load(self.ranker)

    @property
    def vectors(self) -> Tensor:
        """(N + 1, 0): no vectors are read."""
        return torch.zeros(self.num_items + 1, 0)
