"""Exercises, some of which are for adults only."""

import polars as pl

from lightrec.data.domain import Domain


class Clinic(Domain):
    """Lamps are for those known to be of age."""

    name = "clinic"
    disclaimer = "No <medical> advice."

    def eligible(self, users, items, time):
        age = users["age"] if "age" in users.columns else nothing(users)
        kind = items["kind"] if "kind" in items.columns else nothing(items)
        of_age = age.cast(pl.Int64, strict=False).fill_null(0).to_numpy() >= 18
        harmless = (kind != "lamp").fill_null(False).to_numpy()
        return of_age[:, None] | harmless


def nothing(table):
    return pl.Series([None] * table.height, dtype=pl.String)
