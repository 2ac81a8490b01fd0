"""Features of items and users: what their attributes say, in numbers.

Free words, images and codes give none: words go through a text encoder.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import TRAIN, EventStore
from lightrec.data.types import parted

CAP: Final = 64
"""Number of categories, or members of lists, of an attribute that have a feature of their own."""
FEW: Final = 5
"""Categories of fewer rows share one feature with all others that are rare."""
SKEWED: Final = 2.0
"""Positive numbers of a greater skewness are replaced by their logarithms."""
FARTHEST: Final = 4.0
"""Standard deviations from the mean at which numbers are clamped."""
STEP: Final = re.compile(r"\s*>\s*|\s+/\s+")
"""Marks between the steps of a category's path, such as ``Books > Crime``."""
Block = NDArray[np.float64]
"""(R, C): a row of the table each, and the attribute's features."""


@dataclass(frozen=True)
class Number:
    """A number or a date, in standard deviations from the mean; unknown ones are the mean."""

    logarithm: bool
    mean: float
    spread: float

    @classmethod
    def fitted(cls, column: pl.Series) -> "Number | None":
        """Measure a column; None where it has less than two values."""
        values = _numbers(column)
        finite = values[np.isfinite(values)]
        if len(np.unique(finite)) < 2:
            return None
        steps = (finite - finite.mean()) / finite.std()
        skewed = finite.min() > 0 and (steps**3).mean() > SKEWED
        finite = np.log(finite) if skewed else finite
        return cls(bool(skewed), float(finite.mean()), float(finite.std()))

    @property
    def names(self) -> list[str]:
        """Ends of the features' names, behind the attribute's."""
        return [" (log)" if self.logarithm else ""]

    def __call__(self, column: pl.Series) -> Block:
        """Standard deviations from the mean: (R, 1)."""
        values = _numbers(column)
        if self.logarithm:
            # Zero and less lie as far below as may be.
            values = np.log(np.where(values > 0, values, np.where(values <= 0, 1e-300, np.nan)))
        steps = ((values - self.mean) / self.spread).clip(-FARTHEST, FARTHEST)
        return np.nan_to_num(steps)[:, None]


@dataclass(frozen=True)
class _Members:
    """Categories or lists: 1 for each member that is there, and for any rare one."""

    common: list[str]
    rare: bool

    @classmethod
    def fitted(cls, column: pl.Series) -> "_Members | None":
        counts = lists(column).list.unique().explode().drop_nulls().value_counts()
        counts = counts.sort(pl.col("count"), pl.col(column.name), descending=[True, False])
        common = counts.filter(pl.col("count") >= FEW)[column.name].head(CAP).sort().to_list()
        if len(common) + (len(common) < counts.height) < 2:
            return None
        return cls(common, len(common) < counts.height)

    @property
    def names(self) -> list[str]:
        return [f": {member}" for member in self.common] + [": another"] * self.rare

    def __call__(self, column: pl.Series) -> Block:
        indicators = np.zeros((len(column), len(self.common) + 1))
        rows = pl.DataFrame({"row": np.arange(len(column)), "member": lists(column)})
        rows = rows.explode("member").drop_nulls()
        place = {member: number for number, member in enumerate(self.common)}
        places = rows["member"].replace_strict(place, default=len(place), return_dtype=pl.Int64)
        indicators[rows["row"].to_numpy(), places.to_numpy()] = 1
        return indicators[:, : len(self.names)]


_MAKERS: Final[dict[str, type[Number] | type[_Members]]] = {
    **dict.fromkeys(("number", "date"), Number),
    **dict.fromkeys(("category", "list"), _Members),
}


class Features:
    """Turns attributes into features, as fitted to the rows of a table.

    Numbers and dates are in standard deviations; categories and lists have a feature for each
    member, up to :data:`CAP`, and one for all that are rarer. Where rows lack an attribute, there
    is a feature for that. An attribute's features are scaled to a mean square, over the rows, of 1
    in sum: attributes count alike, however many features they have.

    :param table: the rows to fit to; those of the training data.
    :param kinds: of the attributes, by their names; see ``lightrec.data.types``.
    """

    def __init__(self, table: pl.DataFrame, kinds: Mapping[str, str]) -> None:
        self.blocks: dict[str, slice] = {}
        """The columns of each attribute that has features."""
        self.names: list[str] = []
        """Names of the features: ``price (log)``, ``genres: Comedy``, ``price: unknown``."""
        self._made: dict[str, tuple[Number | _Members, bool, float]] = {}
        for name, kind in ((name, parted(kind)[0]) for name, kind in kinds.items()):
            fitted = _MAKERS[kind].fitted(table[name]) if kind in _MAKERS else None
            if fitted is None:
                continue
            lacks = bool(is_unknown(table[name]).any())
            size = np.sqrt(np.square(_rows(table[name], fitted, lacks)).sum(1).mean())
            self._made[name] = fitted, lacks, float(size)
            begin = len(self.names)
            self.names += [name + end for end in fitted.names] + [f"{name}: unknown"] * lacks
            self.blocks[name] = slice(begin, len(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def __call__(self, table: pl.DataFrame) -> Tensor:
        """The features (R, F) float32 of a table's R rows, which may hold unknown values."""
        blocks = [np.zeros((table.height, 0))]
        blocks += [
            _rows(table[n], made, lacks) / size for n, (made, lacks, size) in self._made.items()
        ]
        return torch.from_numpy(np.concatenate(blocks, 1)).float()


def item_features(store: EventStore) -> tuple[Features, Tensor]:
    """Features of a store's items, fitted to those with training events.

    :returns: the maker, and (N + 1, F) float32, row 0 zero.
    """
    features = _fitted(store.catalog, store.item_kinds, store.popularity()[1:] > 0)
    return features, torch.nn.functional.pad(features(store.catalog), (0, 0, 1, 0))


def user_features(store: EventStore) -> tuple[Features, Tensor]:
    """Features of a store's users, fitted to those with training events.

    :returns: the maker, and (U, G) float32.
    """
    trained, some = np.zeros(store.num_users, dtype=bool), np.diff(store.offsets) > 0
    if some.any():
        train = np.asarray(store.parts) == TRAIN
        trained[some] = np.logical_or.reduceat(train, store.offsets[:-1][some])
    features = _fitted(store.users, store.user_kinds, trained)
    return features, features(store.users)


def _fitted(table: pl.DataFrame, kinds: Mapping[str, str], trained: NDArray[np.bool_]) -> Features:
    return Features(table.filter(trained) if trained.any() else table, kinds)


def _rows(column: pl.Series, fitted: Number | _Members, lacks: bool) -> Block:
    unknown = is_unknown(column).to_numpy()[:, None]
    return np.concatenate([fitted(column), unknown[:, : int(lacks)]], 1)


def is_unknown(column: pl.Series) -> pl.Series:
    """Rows without a value: (R,) bool."""
    if isinstance(column.dtype, pl.List):
        return column.list.len().fill_null(0) == 0
    return column.is_null() | (column.is_nan() if column.dtype.is_float() else False)


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    """Numbers (R,), days of dates; NaN where they are unknown or infinite."""
    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("ms")).dt.epoch("ms") / 86_400_000
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def lists(column: pl.Series) -> pl.Series:
    """Members of rows as lists of strings."""
    if isinstance(column.dtype, pl.List):
        return column.cast(pl.List(pl.String))
    return column.cast(pl.String).reshape((-1, 1)).arr.to_list()


def providers_of(names: pl.Series) -> NDArray[np.int64]:
    """Number the providers of items, (N,) int64 from 0; an item without one is its own.

    :param names: N names, or lists of which the first counts.
    """
    names = names.list.first() if isinstance(names.dtype, pl.List) else names
    rows = names.rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
    alone = rows < 0
    rows[alone] = rows.max(initial=-1) + 1 + np.arange(alone.sum())
    return rows
