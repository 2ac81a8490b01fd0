"""Vectors that somebody brings, in a file."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lightrec.api import Column, DataError, Encoder, RecipeError


class Given(Encoder):
    """The items' vectors as a file has them, such as one that ``lightrec encode`` has written.

    A .parquet file has a column ``item`` and a column ``vector``, of lists of numbers. A
    .safetensors file has a tensor ``vectors``, a row an item, and their ids in its metadata, under
    ``items``, as a JSON list. An item that is not in the file has no vector.

    :param file: the file; it is read when it is first needed, here and in later stages.
    """

    column = Column.ITEM
    reads_words = False

    def __init__(self, file: str) -> None:
        self.file = file

    @property
    def size(self) -> int:
        """Length of the vectors."""
        return self._table[1].shape[1]

    @property
    def about(self) -> Mapping[str, object]:
        """The file, and how many vectors it has."""
        return {**super().about, "file": self.file, "vectors": len(self._table[0])}

    def encode(self, values: Sequence[str]) -> Tensor:
        """The vectors of items, by their ids: ``(len(values), size)``; zeros for others.

        :raises RecipeError: where the file has none of them.
        """
        rows, vectors = self._table
        there = [place for place, value in enumerate(values) if value in rows]
        if values and not there:
            raise RecipeError(
                f"{self.file} has vectors of {len(rows):,} items, such as {next(iter(rows))!r}, "
                f"and of none of the {len(values):,} that are asked for, such as {values[0]!r}: "
                "give it the ids that the log has."
            )
        table = torch.zeros(len(values), self.size)
        table[there] = vectors[[rows[values[place]] for place in there]]
        return table

    @cached_property
    def _table(self) -> tuple[dict[str, int], Tensor]:
        """The row of each item, and the vectors, (M, size).

        :raises DataError: where the file is missing or has something else.
        """
        path = Path(self.file)
        try:
            ids, vectors = (_safetensors if path.suffix == ".safetensors" else _parquet)(path)
        except (OSError, SafetensorError, pl.exceptions.PolarsError, ValueError, KeyError) as error:
            raise DataError(
                f"No vectors can be read from it ({str(error).splitlines()[0]}). Give a .parquet "
                "file with the columns item and vector, all of one length, or a .safetensors file "
                "with the tensor `vectors` and the items' ids in its metadata, under `items`.",
                source=path,
            ) from error
        rows = {item: row for row, item in enumerate(ids)}
        if vectors.ndim != 2 or not (0 < len(rows) == len(ids) == len(vectors)):
            raise DataError(
                f"It has {len(ids):,} ids, {len(rows):,} of them different, and vectors of shape "
                f"{tuple(vectors.shape)}: give each item one row of numbers.",
                source=path,
            )
        if len(bad := (~vectors.isfinite()).any(dim=1).nonzero()):
            raise DataError(
                f"The vector of the item {ids[int(bad[0])]!r} has NaN or infinity, as {len(bad):,} "
                "have: leave such items out.",
                source=path,
            )
        return rows, vectors


def _parquet(path: Path) -> tuple[list[str], Tensor]:
    table = pl.read_parquet(path, columns=[Column.ITEM, "vector"])
    lengths = table["vector"].cast(pl.List(pl.Float32)).list.len().unique().drop_nulls()
    if len(lengths) != 1 or table["vector"].null_count():
        raise ValueError(
            f"vectors of the lengths {sorted(lengths)}, {table['vector'].null_count()} missing"
        )
    rows = table["vector"].cast(pl.Array(pl.Float32, int(lengths[0])))
    return table[Column.ITEM].cast(pl.String).to_list(), torch.from_numpy(np.array(rows.to_numpy()))


def _safetensors(path: Path) -> tuple[list[str], Tensor]:
    with safe_open(path, "pt") as file:
        ids = json.loads((file.metadata() or {})["items"])
        return [str(item) for item in ids], file.get_tensor("vectors").float()
