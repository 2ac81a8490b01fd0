"""The ranker: item tower, user tower, and the score of every item for every history."""

import torch
from torch import Tensor, nn

from lightrec.keys import PADDING
from lightrec.nn.item_tower import ItemTower
from lightrec.nn.part import Part
from lightrec.nn.towers import build_tower, find_tower


class Ranker(Part):
    """Scores items for histories: user vector · item vector, plus an item's bias.

    :param num_items: number of items N.
    :param vector_size: length of text vectors; 0 where there are none.
    :param size: length D of user and item vectors.
    :param layers: layers of the user tower, where it has any.
    :param heads: attention heads of the user tower, or groups of its features.
    :param feedforward: inner width of its layers, as a multiple of D.
    :param dropout: in the user tower.
    :param max_length: how many of a history's last items are read.
    :param use_ids: whether items have id embeddings.
    :param use_text: whether items' text vectors are used, where there are any.
    :param use_bias: whether each item has a bias.
    :param tower: the user tower's class: a short name of :mod:`lightrec.nn.towers`, or
        ``module:Class``. It takes of the settings above those that its constructor names.
    :raises ValueError: where there is no such tower, or the settings do not fit it.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int = 0,
        size: int = 64,
        layers: int = 2,
        heads: int = 2,
        feedforward: int = 4,
        dropout: float = 0.2,
        max_length: int = 50,
        use_ids: bool = True,
        use_text: bool = True,
        use_bias: bool = True,
        tower: str = "CausalTransformer",
    ) -> None:
        super().__init__()
        self.num_items, self.size, self.max_length = num_items, size, max_length
        self.items = ItemTower(num_items, size, vector_size, use_ids, use_text)
        self.users = build_tower(find_tower(tower), size, layers, heads, feedforward, dropout)
        self.bias = nn.Parameter(torch.zeros(num_items + 1)) if use_bias else None

    def states(self, history: Tensor) -> Tensor:
        """Read histories.

        :param history: (B, L) int64, padded on the left, at most ``max_length`` long.
        :returns: (B, L, D): at each position the user vector after that item.
        """
        return self.users(self.items(history) * self.input_scale, history != PADDING)

    @property
    def input_scale(self) -> float:
        """By what item vectors are multiplied on their way into the user tower."""
        return self.size**0.5

    def user_vectors(self, history: Tensor) -> Tensor:
        """Give user vectors.

        :param history: (B, L) int64, padded on the left; only the last ``max_length`` are read.
        :returns: (B, D); zeros for an empty history, which then scores items by bias alone.
        """
        history = history[:, -self.max_length :]
        return self.states(history)[:, -1] * (history[:, -1:] != PADDING)

    def item_vectors(self) -> Tensor:
        """Give all item vectors, (N + 1, D), row 0 zero."""
        return self.items()

    def item_bias(self) -> Tensor | None:
        """Give all items' biases, (N + 1,), or None where there are none."""
        return self.bias

    def scores(self, history: Tensor, items: Tensor | None = None) -> Tensor:
        """Score all items.

        :param history: (B, L) int64, padded on the left.
        :param items: (N + 1, D) what :meth:`item_vectors` gave, to compute it only once.
        :returns: (B, N + 1) logits, higher is better; column 0 is -inf.
        """
        table = self.item_vectors() if items is None else items
        scores = self.user_vectors(history) @ table.T
        if self.bias is not None:
            scores = scores + self.bias
        return scores.index_fill(1, torch.tensor([PADDING], device=scores.device), -torch.inf)
