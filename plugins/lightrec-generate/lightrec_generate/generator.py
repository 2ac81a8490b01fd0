"""Generators: from a history to the law of the identifier that comes next."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, pad

from lightrec.api import PADDING, Details, RecipeError
from lightrec.blame import blaming
from lightrec.nn.part import Part
from lightrec.nn.precision import full_precision
from lightrec.nn.towers import CausalTransformer, UserTower
from lightrec.trust import arguments_of
from lightrec_generate.identifiers import Identifiers
from lightrec_generate.newcomers import RECENT, Newcomers

LEAST = -80.0
"""The log-probability of an item that is not written is not above it."""
NORM = 0.5
"""Root mean square of the norms of items' vectors at first."""


class Generator(Part, ABC):
    """Reads a history, and writes the digits of the item that comes next.

    Of an item three vectors are read and added up: of its digits, of what the identifiers know of
    it (words, and what people chose near it) by a linear map, and one of its own, which is zero at
    first, and stays so for a new item. Items are written that have training events; new ones come
    in place of those that they read like
    (:class:`~lightrec_generate.newcomers.Newcomers`).

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
