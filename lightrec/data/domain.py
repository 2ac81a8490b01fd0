"""Domains: what a field of use adds to the general machinery."""

from pathlib import Path

import polars as pl

from lightrec.keys import Column


class Domain:
    """What lightrec needs to know about a field of use.

    The base class is a working domain by itself: items are put into words by joining their
    attributes. Subclass it in a plugin and return the class from ``lightrec_domains``.
    """

    name = "generic"
    repeats = False
    """Whether an item may come again in a session and in a history. Where it may not, repeated
    events are left out of the log, and training, ranking, simulators and recommendations pass over
    what a person has seen. A slate never holds an item twice, whatever this says."""
    sample_name: str | None = None
    """The name under which `lightrec data fetch` knows the domain's sample."""

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put items into words.

        :param items: a catalog: ``item``, ``title`` and any attributes.
        :returns: one string an item, in the same order; empty where nothing is known.
        """
        parts = [
            pl.concat_str(pl.lit(f"{name.replace('_', ' ')}: "), words)
            for name, dtype in items.schema.items()
            if name not in (Column.ITEM, Column.TITLE, Column.TEXT)
            and (words := _in_words(name, dtype)) is not None
        ]
        title = [pl.col(Column.TITLE)] if Column.TITLE in items.columns else []
        if not title and not parts:
            return pl.Series(Column.TEXT, [""] * items.height)
        joined = pl.concat_str([*title, *parts], separator=". ", ignore_nulls=True)
        return items.select(joined.fill_null("").alias(Column.TEXT)).to_series()

    def sample(self) -> Path | None:
        """Fetch the domain's sample log and return its folder, or None where it has none.

        :raises FetchError: where the sample cannot be had.
        """
        return None


def _in_words(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Give a column as words; None for types that have none, such as bytes and structs."""
    if isinstance(dtype, pl.List) and _is_plain(dtype.inner):
        listed = pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(", ")
        return pl.when(listed != "").then(listed)
    return pl.col(name).cast(pl.String) if _is_plain(dtype) else None


def _is_plain(dtype: object) -> bool:
    return not (isinstance(dtype, pl.DataType) and dtype.is_nested()) and dtype not in (
        pl.Binary,
        pl.Duration,
        pl.Object,
        pl.Null,
    )
