"""Generators: from a history to the law of the identifier that comes next.

Items without training events come in place of items that they read like.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, pad

from lightrec.api import PADDING, Details, RecipeError
from lightrec.blame import blaming
from lightrec.nn.part import Part
from lightrec.nn.precision import full_precision
from lightrec.nn.towers import CausalTransformer, UserTower
from lightrec.trust import arguments_of
from lightrec_generate.identifiers import SHARPNESS, Identifiers, nearest

LEAST = -80.0
"""The log-probability of an item that is not written is not above it."""
NORM = 0.5
"""Root mean square of the norms of items' vectors at first."""
LIKE = 20
"""Number of new items that come in place of one at most."""
RECENT = 5
"""Number of a history's last items that are replaced, too."""
DECAY = 0.5
"""Factor by which each of them counts less than the one after it."""
RECENT_SHARE = 0.2
"""The share of new items that come in place of these, and not of what would be written."""


class Newcomers(NamedTuple):
    """Items without training events, R of them, and what they come in place of.

    A share of what is written is replaced. What is replaced is an item that the generator would
    write, or, RECENT_SHARE of the time, one of the history's last. In its place a new item comes
    with a probability that grows with the cosine of their words, and falls with how near the new
    item is to all others, so that none comes everywhere. An item whose words say nothing stays, and
    a new one that is among the LIKE nearest of no item is not written.
    """

    share: float
    """Share of what is written that is replaced."""
    items: Tensor
    """``(R,)`` int64."""
    table: Tensor
    """``(N + 1, F)`` int64: which of the new items may come in place of each, 0 to R - 1."""
    chances: Tensor
    """``(N + 1, F)`` float32: the probability of each; rows sum to 1, or to 0 for what stays."""
    sources: Tensor
    """``(E,)`` int64: what each new item may come in place of, in the order of the new items."""
    starts: Tensor
    """``(R,)`` int64: where those of a new item begin."""
    shares: Tensor
    """``(E,)`` float32: the probability of the new item in place of each source."""

    @classmethod
    def of(cls, identifiers: Identifiers, trained: Tensor, fresh: float) -> "Newcomers | None":
        """Find what new items read like; None where no words say it.

        :param trained: ``(N + 1,)`` bool: which items have training events.
        :param fresh: how much a new item counts beside one of these.
        """
        words = identifiers.vectors[:, : identifiers.axes.shape[1]]
        said = words.any(1)
        items, replaced = (each.nonzero().squeeze(1) for each in (said & ~trained, said & trained))
        if not len(items) or not len(replaced):
            return None
        cosines, columns = nearest(words[replaced], words[items], LIKE)
        table = torch.zeros(len(words), columns.shape[1], dtype=torch.int64, device=words.device)
        chances = torch.zeros_like(table, dtype=torch.float32)
        near = SHARPNESS * cosines.float()
        totals = near.new_zeros(len(items)).index_add(0, columns.flatten(), near.exp().flatten())
        table[replaced] = columns
        chances[replaced] = (near - totals.log()[columns]).softmax(1)
        sources = replaced.repeat_interleave(columns.shape[1])
        column = columns.flatten()
        order = column.argsort(stable=True)
        starts = torch.searchsorted(column[order], torch.arange(len(items), device=words.device))
        shares = chances[replaced].flatten()[order]
        counted = fresh * len(items)
        share = counted / (int(trained.sum()) + counted)
        return cls(share, items, table, chances, sources[order], starts, shares)

    def joined(self, law: Tensor, last: Tensor) -> Tensor:
        """Let new items join a law.

        :param law: ``(B, N + 1)`` float32 log-probabilities of what would be written.
        :param last: ``(B, T)`` int64 items of a history, the last one at the right; 0 where there
            is none.
        :returns: ``(B, N + 1)`` log-probabilities.
        """
        age = torch.arange(last.shape[1], device=last.device).flip(0)
        counted = DECAY**age * self.chances[last].any(-1)
        # The share of each in what is replaced; in all RECENT_SHARE, or 0 where none can be.
        recent = RECENT_SHARE * counted / counted.sum(1, keepdim=True).clamp_min(1e-9)
        last_ones = recent.sum(1, keepdim=True)
        replacements = embedding_bag(
            self.sources,
            law.exp().T.contiguous(),
            self.starts,
            mode="sum",
            per_sample_weights=self.shares,
        ).T * (1 - last_ones)
        added = recent.unsqueeze(-1) * self.chances[last]
        replacements = replacements.scatter_add(1, self.table[last].flatten(1), added.flatten(1))
        replaced = self.share * last_ones.where(~self.chances.any(1), 1.0)
        new = (self.share * replacements).clamp_min(1e-38).log()
        return (law + (1 - replaced).log()).index_copy_(1, self.items, new)


class Generator(Part, ABC):
    """Reads a history, and writes the digits of the item that comes next.

    Of an item three vectors are read and added up: of its digits, of what the identifiers know of
    it (words, and what people chose near it) by a linear map, and one of its own, which is zero at
    first, and stays so for a new item. Items are written that have training events; new ones come
    in place of those that they read like (:class:`Newcomers`).

    :param identifiers: names the items.
    :param size: length D of user vectors.
    :param tower: makes the user tower of its width D; None for a CausalTransformer.
    :param max_length: how many of a history's last items are read.
    :param fresh: how much a new item counts beside another one: at 1 new items take that share of
        what is written which they have of the catalog.
    :raises RecipeError: where it is below 0.
    """

    counts: Tensor
    """``(N + 1,)`` float32 training events of each item."""

    def __init__(
        self,
        identifiers: Identifiers,
        size: int = 64,
        tower: Callable[[int], UserTower] | None = None,
        max_length: int = 50,
        fresh: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= fresh < torch.inf:
            raise RecipeError(
                f"fresh is {fresh}, and it says how much a new item counts: give 0 or more."
            )
        self.identifiers, self.size, self.max_length = identifiers, size, max_length
        self.fresh = fresh
        self.num_items = identifiers.num_items
        with blaming(self, "build its user tower"):
            self.users = (tower or CausalTransformer)(size)
        self.register_buffer("counts", torch.zeros(self.num_items + 1))
        digits = identifiers.digits, identifiers.size, size
        self.known_read = nn.Linear(identifiers.vectors.shape[1], size, bias=False)
        self.read = nn.Parameter(torch.randn(*digits) * size**-0.5)
        self.own = nn.Parameter(torch.zeros(self.num_items + 1, size))
        self.written = nn.Parameter(torch.randn(*digits) * size**-0.5)
        self.asks = nn.ModuleList(
            nn.Linear(size, size, bias=False) for _ in range(identifiers.digits)
        )
        for ask in self.asks:
            nn.init.eye_(ask.get_parameter("weight"))
        self._tables: Any = None
        self._catalog: tuple[Tensor, Newcomers | None] | None = None
        self.register_load_state_dict_post_hook(_read_anew)

    @property
    def known(self) -> Tensor:
        """``(N + 1,)`` bool: which items are written; all of them where nothing was counted yet."""
        return self._present[0]

    @property
    def newcomers(self) -> Newcomers | None:
        """The items without training events, and what they come in place of; None without such."""
        return self._present[1]

    @property
    def _present(self) -> tuple[Tensor, Newcomers | None]:
        if self._catalog is None or self._catalog[0].device != self.counts.device:
            with torch.inference_mode(False), full_precision(self.counts.device):
                written = self.counts > 0
                written = written if written.any() else torch.ones_like(written)
                written[PADDING] = False
                self._catalog = written, Newcomers.of(self.identifiers, written, self.fresh)
        return self._catalog

    @torch.no_grad()
    def start(self, counts: Tensor, words: Sequence[str] = ()) -> None:
        """Let vectors start from the identifiers', as far as these say what people choose.

        :param counts: ``(N + 1,)`` training events of each item.
        :param words: of N + 1 items, for generators that read them.
        """
        self.counts.copy_(counts)
        _read_anew(self)
        choices = self.identifiers.vectors[:, -self.size :]
        scale = NORM / choices.square().sum(1)[1:].mean().sqrt().clamp_min(1e-6)
        books = self.identifiers.books[..., -choices.shape[1] :]
        for m, digits in enumerate(self.identifiers.codes[1:].T):
            used = digits.unique()
            self.written[m, used, : choices.shape[1]] = books[m, used] * scale
        self.read.zero_()
        self.known_read.weight.zero_()
        place = torch.arange(choices.shape[1])
        self.known_read.weight[place, place - choices.shape[1]] = scale

    def train(self, mode: bool = True) -> "Generator":
        """Forget what was computed from weights that may change."""
        self._tables = None
        return super().train(mode)

    @torch.no_grad()
    def with_items(self, words: Tensor) -> Self:
        """A generator that also writes new items, N + 1 to N + R, without training.

        :param words: ``(R, V)`` float32 vectors of words, by the encoder of the other items.
        """
        settings = self._arguments | {"identifiers": self.identifiers.with_items(words)}
        grown = type(self)(**arguments_of(type(self), settings))
        state = grown.state_dict()
        for name, value in self.state_dict().items():
            if not name.startswith("identifiers."):
                state[name][: len(value)] = value
        grown.load_state_dict(state)
        return grown.to(self.counts.device).eval()

    def states(self, history: Tensor) -> Tensor:
        """Read histories ``(B, L)`` int64, padded on the left: ``(B, L, D)``, after each item."""
        states: Tensor = self.users(self._items(history), history != PADDING)
        return states

    def user_vectors(self, history: Tensor) -> Tensor:
        """The numbers that the law reads of histories ``(B, L)`` int64, padded on the left.

        :returns: ``(B, D + RECENT)``: states after the last items, zeros for an empty history, and
            the numbers of the last items, which new ones may come in place of; these are exact
            for catalogs of less than 2^24 items.
        """
        states = self.last_states(history[:, -self.max_length :])
        last = pad(history[:, -RECENT:], (max(0, RECENT - history.shape[1]), 0))
        return torch.cat([states, last.float()], 1)

    def last_states(self, history: Tensor) -> Tensor:
        """The states after the last items alone, ``(B, D)``; zeros for an empty history."""
        last: Tensor = self.users.last_only(self._items(history), history != PADDING)
        return last * (history[:, -1:] != PADDING)

    def _items(self, history: Tensor) -> Tensor:
        digits = self._digits(self.identifiers.codes[history], self.read)
        present = (history != PADDING).unsqueeze(-1)
        content = self.known_read(self.identifiers.vectors[history])
        return (digits + content + embedding(history, self.own)) * present * self.size**0.5

    def _digits(self, codes: Tensor, table: Tensor) -> Tensor:
        """Add up the vectors of digits ``(..., m)``, the first ones or all, ``(..., D)``."""
        shift = self.identifiers.size * torch.arange(codes.shape[-1], device=codes.device)
        rows = (codes + shift).reshape(-1, codes.shape[-1])
        vectors = embedding_bag(rows, table.flatten(0, 1), mode="sum")
        return vectors.view(*codes.shape[:-1], self.size)

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items by the exact law; see :class:`~lightrec.ranking.scorers.ItemScorer`."""
        return self.log_probabilities(self.user_vectors(histories))

    def log_probabilities(self, users: Tensor) -> Tensor:
        """The exact law over the catalog.

        :param users: ``(B, D + RECENT)`` from :meth:`user_vectors`, or ``(B, D)`` of histories
            whose last items are not known.
        :returns: ``(B, N + 1)`` float32 log-probabilities; column 0 is minus infinity. Of an item
            of which neither events nor words are known, it is at most LEAST.
        """
        # In fewer bits many items would be equal.
        with full_precision(users.device):
            states, last = users[:, : self.size].float(), users[:, self.size :].long()
            law = self.law(states, self._present_tables())
            least, new = torch.full_like(law[0], LEAST), self.newcomers
            least[PADDING] = -torch.inf
            law = law.where(self.known, least)
            return law if new is None else new.joined(law, last)

    def _present_tables(self) -> Any:
        if self.training or torch.is_grad_enabled():
            return self.tables()
        # While a policy learns, it plays with weights that an optimizer has changed in place.
        # Tensors of inference mode, which never learn, do not count changes.
        written = [
            (each.device, 0 if each.is_inference() else each._version) for each in self.parameters()
        ]
        if self._tables is None or self._tables[0] != written:
            self._tables = written, self.tables()
        return self._tables[1]

    @abstractmethod
    def loss(self, states: Tensor, target: Tensor) -> Tensor:
        """The mean loss of targets, such as minus their log-probability.

        :param states: ``(T, D)``.
        :param target: ``(T,)`` int64 items.
        :returns: a scalar.
        """

    @abstractmethod
    def tables(self) -> Any:
        """Compute what :meth:`law` reads of items, whoever asks."""

    @abstractmethod
    def law(self, users: Tensor, tables: Any) -> Tensor:
        """The law over the items that are :attr:`known`.

        :param users: ``(B, D)`` states.
        :param tables: what :meth:`tables` gave.
        :returns: ``(B, N + 1)`` float32; at other items it means nothing.
        """


def _read_anew(generator: Generator, *_: Any) -> None:
    """Forget what was computed from counts and weights that have changed."""
    generator._catalog = generator._tables = None
