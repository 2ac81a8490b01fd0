"""The base class of item models, the choice of their settings, and popularity."""

import copy
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar, Final, Self, TypeAlias

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightrec.blame import provider
from lightrec.data.attributes import user_features
from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore
from lightrec.errors import NotApplicable, PluginError
from lightrec.keys import Column
from lightrec.ranking.scorers import Details
from lightrec.trust import ARGUMENTS, described

Setting: TypeAlias = int | float | str | bool | None
SOLVED: Final = 18_000
"""Items of the largest systems that are solved, in 2.6 GB for two of them."""
TRIED: Final = 4_000
"""Items, the most popular ones, that choose the settings with which a larger system is solved."""


@dataclass(frozen=True)
class Evidence:
    """Data that an item model may be fitted to.

    :param log: the training events, user by user, oldest first: ``items`` (E,) int64, 1 to N,
        ``times`` (E,) in milliseconds, ``feedback`` (E,) kinds from 1 or None, and ``offsets``
        (U + 1,): user u has the events ``offsets[u]`` to ``offsets[u + 1]``.
    :param num_items: N.
    :param vectors: (N + 1, V) float32 text vectors, row 0 zero; V is 0 where there are none.
    :param is_ordered: whether the order of a user's events means anything.
    :param people: (U, G) float32 features of the users' attributes; see
        :mod:`lightrec.data.attributes`.
    :param worth: of an event by its kind of feedback, (K + 1,) float32 with the goal's highest;
        None in a log without a goal, where all events are alike.
    :param most: of how many items at most a system is solved.
    :param texts: N texts, of the items 1 … N; none where no text encoder reads them.
    :param users: the user table in the order of its rows: ``user`` and any attributes.
    :param items: the catalog, of the items 1 … N: ``item``, ``title``, ``text`` and any attributes.
    :param kinds: of the items' attributes; see :mod:`lightrec.data.types`.
    :param found: what fitting found out that other settings need, too, by name.
    """

    log: Sequences
    num_items: int
    vectors: Tensor
    is_ordered: bool = True
    people: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    worth: NDArray[np.float32] | None = None
    most: int = SOLVED
    texts: Sequence[str] = ()
    users: pl.DataFrame = field(default_factory=pl.DataFrame)
    items: pl.DataFrame = field(default_factory=pl.DataFrame)
    kinds: Mapping[str, str] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict, init=False, compare=False)

    @classmethod
    def of(cls, store: EventStore, vectors: Tensor | None = None) -> "Evidence":
        """The training events of a prepared log; without vectors nobody reads texts."""
        vectors = torch.zeros(store.num_items + 1, 0) if vectors is None else vectors
        return cls.from_log(Sequences.all_events(store).training(), store, vectors)

    @classmethod
    def from_log(cls, log: Sequences, store: EventStore, vectors: Tensor) -> "Evidence":
        """As :meth:`of`, where somebody has the training events already."""
        people = user_features(store)[1]
        worth: NDArray[np.float32] | None = None
        if store.goal_kinds:
            weights = store.meta["settings"]["weights"]
            kinds = [0.0, *(weights[kind] for kind in store.feedback_kinds)]
            worth = np.array(kinds, np.float32).clip(0)
            worth /= worth.max()
        texts = store.catalog[Column.TEXT].to_list() if vectors.shape[1] else []
        facts = log, store.num_items, vectors, store.is_ordered, people, worth
        tables = store.users, store.catalog, store.item_kinds
        return cls(*facts, SOLVED, texts, *tables)

    @property
    def worths(self) -> NDArray[np.float32]:
        """(E,) float32: the worth of each training event."""
        if self.worth is None or self.log.feedback is None:
            return np.ones(len(self.log.items), np.float32)
        return self.worth[self.log.feedback]

    def counts(self) -> Tensor:
        """(N + 1,) float32: how many training events each item has."""
        weights = None if self.worth is None else self.worths
        counts = np.bincount(self.log.items, weights, self.num_items + 1)
        return torch.from_numpy(counts).float()

    @property
    def solved(self) -> NDArray[np.int64]:
        """(M,) in order: the rows, item less 1, of the most popular items, of which systems are.

        An item without events says nothing, and nothing is said of it.
        """
        warm = np.bincount(self.log.items, minlength=self.num_items + 1)[1:] > 0
        counts = self.counts()[1:].where(torch.from_numpy(warm), -1.0)
        popular = counts.argsort(descending=True, stable=True)[: min(self.most, int(warm.sum()))]
        return popular.sort().values.numpy()


class ItemModel(nn.Module, ABC):
    """Scores all items for a history, from what :meth:`fit` computed once.

    Every constructor argument is kept as an attribute of its name. One that is None is chosen on
    validation events among its values in ``GRID``, see :func:`choose`, or by :meth:`fit`. While
    :meth:`fit` runs, an argument of ``GRID`` has one of its values, but those of ``SCORING`` may
    be None, and so are all where somebody fits the model without choosing.
    """

    GRID: ClassVar[Mapping[str, Sequence[Setting]]] = {}
    """Arguments that may be None, with the values that are tried."""
    SCORING: ClassVar[frozenset[str]] = frozenset()
    """Arguments that ``fit`` does not look at: their values are tried on one fitted model."""
    CUBIC: ClassVar[bool] = False
    """Whether the work of ``fit`` grows with the cube of ``Evidence.solved``."""

    def __init__(self) -> None:
        super().__init__()  # whose own takes any arguments

    @property
    def settings(self) -> dict[str, Setting]:
        """The constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @property
    def description(self) -> dict[str, Any]:
        """The class and the constructor arguments, plain Python."""
        return {**described(type(self)), ARGUMENTS: self.settings}

    def values(self, evidence: Evidence) -> dict[str, Sequence[Setting]]:
        """The values that have to be tried on a log, by the arguments' names.

        Without an order no event has an age, and a ``decay`` in scoring is 1.
        """
        values = {name: tried for name, tried in self.GRID.items() if getattr(self, name) is None}
        if "decay" in self.SCORING & values.keys() and not evidence.is_ordered:
            values["decay"] = [1.0]
        return values

    @abstractmethod
    def fit(self, evidence: Evidence) -> Self:
        """Compute what scoring needs, kept as buffers.

        :raises NotApplicable: where the log is not of a kind for it.
        """

    @abstractmethod
    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items; see :class:`~lightrec.ranking.scorers.ItemScorer`.

        :param histories: (B, L) int64, padded with 0 on the left. They hold no N + 1: offers of
            which nothing was chosen are left out.
        :param details: what else is known of the histories' events, such as ``Key.FEEDBACK`` and
            ``Key.GAP``, (B, L) int64 each; None where nothing is.
        :returns: (B, N + 1) float32; what is below 0 counts as 0 in a blend.
        """


def choose(
    model: ItemModel, evidence: Evidence, judge: Callable[[ItemModel], float]
) -> tuple[ItemModel, float]:
    """Fit an item model with each combination of the values that are open, and keep the best.

    What only scoring looks at is varied without fitting again. Of equals the first stays. Where the
    work grows with the cube of the items, a part of them chooses.

    :param model: not changed.
    :param judge: gives a fitted item model a number on validation events, higher is better.
    :returns: a fitted item model without open settings, and what the judge gave it.
    :raises NotApplicable: where the log is not of a kind for it.
    """
    values = model.values(evidence)
    fitting = {name: tried for name, tried in values.items() if name not in model.SCORING}
    scoring = {name: tried for name, tried in values.items() if name in model.SCORING}
    best, highest = model, -math.inf
    most = TRIED if model.CUBIC and len(combinations(fitting)) > 1 else evidence.most
    tried = replace(evidence, most=min(most, evidence.most))
    for fit in combinations(fitting):
        fitted = _with(model, fit).fit(tried)
        if not isinstance(fitted, ItemModel):
            raise PluginError(
                f"`fit` of {provider(model)} gave {fitted!r:.80}; expected is the item "
                "model: end it with `return self`."
            )
        for score in combinations(scoring):
            candidate = _with(fitted, score)
            value = judge(candidate)
            if best is model or value > highest:
                best, highest = candidate, value
    if tried.most < min(evidence.most, evidence.num_items):
        best.fit(evidence)
    return best, highest


def combinations(values: Mapping[str, Sequence[Setting]]) -> list[dict[str, Setting]]:
    """All combinations of the values, as settings; one empty combination where nothing is open."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def _with(model: ItemModel, settings: Mapping[str, Setting]) -> ItemModel:
    """A copy with other settings; its tensors are the same ones."""
    changed = copy.copy(model)
    changed._buffers = dict(model._buffers)
    for name, value in settings.items():
        setattr(changed, name, value)
    return changed


class Popularity(ItemModel):
    """Scores an item by its number of training events."""

    counts: Tensor
    """(N + 1,) float32."""

    def fit(self, evidence: Evidence) -> Self:
        """Count."""
        self.register_buffer("counts", evidence.counts())
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1)."""
        return self.counts.expand(len(histories), -1)


class RecentPopularity(Popularity):
    """Scores an item by its training events, each halved for every half-life that has passed.

    :param half_life: as a share of the time from the first training event to the last.
    """

    GRID: ClassVar = {"half_life": (0.003, 0.01, 0.03, 0.1, 0.3)}

    def __init__(self, half_life: float | None = None) -> None:
        super().__init__()
        self.half_life = half_life

    def fit(self, evidence: Evidence) -> Self:
        """Count, recent events more."""
        log, worths = evidence.log, evidence.worths
        if not log.has_times or not len(log.times) or log.times.max() == log.times.min():
            raise NotApplicable("The log has no times, so that nothing is recent.")
        first, last = log.times.min(), log.times.max()
        counts = np.zeros(evidence.num_items + 1)
        half_life = 0.03 if self.half_life is None else self.half_life
        for start in range(0, len(log.times), held := 1 << 22):  # it takes 50 bytes an event
            rows = slice(start, start + held)
            age = (last - log.times[rows]) / (last - first)
            weights = 0.5 ** (age / half_life) * worths[rows]
            counts += np.bincount(log.items[rows], weights, len(counts))
        self.register_buffer("counts", torch.from_numpy(counts).float())
        return self


def popular(store: EventStore) -> "Popularity | RecentPopularity":
    """Rank for somebody unknown: by popularity, that of late where there are times."""
    evidence = Evidence.of(store)
    try:
        return RecentPopularity().fit(evidence)
    except NotApplicable:
        return Popularity().fit(evidence)
