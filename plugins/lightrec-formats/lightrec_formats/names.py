"""Names that people and items have in common, by which domains forbid items to people."""

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec.data.attributes import lists


def in_common(users: pl.Series, items: pl.Series) -> npt.NDArray[np.int64]:
    """Count the names that users and items have in common, (U, N) int64; repeated ones again.

    :param users: a name, or a list of names, for each user; null for none.
    :param items: the same for each item.
    """
    sides = []
    for row, column in (("user", users), ("item", items)):
        rows = pl.DataFrame({row: range(len(column)), "name": lists(column)})
        sides.append(rows.explode("name").drop_nulls())
    pairs = sides[0].join(sides[1], on="name")
    counts = np.zeros((len(users), len(items)), np.int64)
    np.add.at(counts, (pairs["user"].to_numpy(), pairs["item"].to_numpy()), 1)
    return counts


def names_in(table: pl.DataFrame, name: str) -> list[str]:
    """The different names in a column, each a name or a list of names; none where there is none."""
    if name not in table.columns:
        return []
    names: pl.Series = lists(table[name]).explode()
    return names.drop_nulls().unique(maintain_order=True).to_list()
