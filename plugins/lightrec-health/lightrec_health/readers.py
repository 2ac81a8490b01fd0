"""The reader of published logs of food and health; it works out allergens from ingredients."""

import ast
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from lightrec_formats.described import DescribedReader

from lightrec.api import Catalog, Place, Problems
from lightrec_health.ingredients import allergens


class HealthSets(DescribedReader):
    """Published logs of food and health; ``sets.yaml`` describes them.

    Where a table of items has an empty column ``allergens``, its lists are as Python writes them,
    and allergens are worked out from the names of ingredients. They may be wrong.
    """

    name = "health-sets"
    descriptions = Path(__file__).with_name("sets.yaml")

    def read_items(self, path: Path, columns: Mapping[str, str] | None = None) -> Catalog | None:
        """Read the item table, where its files are there."""
        catalog = super().read_items(path, columns)
        if catalog is None or "allergens" not in catalog.rows.columns:
            return catalog
        problems = Problems(catalog.place.source)
        lists = [_lists(catalog.rows[n], catalog.place, problems) for n in ("tags", "ingredients")]
        problems.check()
        holds = pl.Series("allergens", map(allergens, lists[1]), pl.List(pl.String))
        return Catalog(catalog.rows.with_columns(*lists, holds), place=catalog.place)


def _lists(column: pl.Series, place: Place, problems: Problems) -> pl.Series:
    """Read lists as Python writes them, and of ``{"part": [("name", "amount"), …]}`` the names."""
    rows: list[list[str] | None] = []
    for text in column:
        try:
            value = ast.literal_eval(text or "")
            if isinstance(value, dict):
                value = [str(name).strip() for part in value.values() for name, _ in part]
        except (SyntaxError, ValueError, TypeError):
            value = None
        rows.append(value if isinstance(value, list) else None)
    lists = pl.Series(column.name, rows, pl.List(pl.String))
    bad, expected = lists.is_null() & column.is_not_null(), "a list as Python writes it"
    problems.add_rows(bad, lambda row: place.value(column, row, expected))
    return lists
