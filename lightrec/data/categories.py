"""The items' categories: an attribute of the catalog that has few values."""

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.keys import Column

CATEGORIES = 40
"""An attribute with more values than this is no category."""


def categories(store: EventStore, name: str | None = None) -> Tensor | None:
    """Number the items' categories: (N + 1,) int64, -1 where none is known; None without any.

    :param name: of an attribute; None takes the first of words with 2 to 40 different ones.
    """
    for column in [name] if name else store.catalog.columns:
        if column in (Column.ITEM, Column.TITLE, Column.TEXT):
            continue
        words = store.catalog.get_column(column)
        if isinstance(words.dtype, pl.List):
            words = words.list.first()
        if words.dtype not in (pl.String, pl.Categorical):
            continue
        words = words.cast(pl.String)
        distinct = words.drop_nulls().unique().sort()
        if name or 2 <= len(distinct) <= CATEGORIES:
            codes = words.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).fill_null(-1)
            return torch.from_numpy(np.concatenate([[-1], codes.to_numpy()]).astype(np.int64))
    return None
