"""Domains: what lightrec needs to know about a field of use."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec import plugins
from lightrec.errors import PluginError
from lightrec.keys import Column


class Domain:
    """A field of use, such as video or news.

    The base class works by itself: it describes items by joining their attributes.
    Subclass it in a plugin and return the class from ``lightrec_domains``.
    """

    name = "generic"
    repeats = False
    """Whether an item may come again in a session and in a history. If not, repeated events are
    removed from the log, and training, ranking, simulators and recommendations skip what a person
    has seen. A slate never holds an item twice either way."""
    sample_name: str | None = None
    """The name under which `lightrec data fetch` knows the domain's sample."""

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Describe items in words.

        :param items: a catalog: ``item``, ``title`` and any attributes.
        :returns: one string per item, in the same order; empty if nothing is known.
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

    def eligible(self, users: pl.DataFrame, items: pl.DataFrame) -> npt.NDArray[np.bool_] | None:
        """Return which items may be shown to which users; a forbidden item is never shown.

        Recommendations, policies and baselines in user models, the ranking of held-out events and
        drawn choice sets all obey it. A list is shortened, or left empty, rather than filled with a
        forbidden item.

        The method is called for batches of users, so a user's row must not depend on the others. A
        log may lack a column, and values may be null. For a person who is not in the log every
        value is null, including the id: forbid what you would not show to a stranger.

        :param users: U rows of the prepared log's user table: ``user`` and any attributes.
        :param items: the prepared log's N items in their order: ``item``, ``title``, ``text`` and
            any attributes.
        :returns: ``(U, N)`` bool, False for what may not be shown; None where everything may be.
        """
        return None

    def sample(self) -> Path | None:
        """Fetch the domain's sample log and return its folder, or None if it has none.

        :raises FetchError: if the sample cannot be fetched.
        """
        return None


def with_texts(domain: Domain, items: pl.DataFrame) -> pl.DataFrame:
    """Fill the column ``text`` of a catalog with the domain's words wherever it is empty."""
    words = words_of(domain, items)
    own = pl.when(pl.col(Column.TEXT) != "").then(pl.col(Column.TEXT))
    return items.with_columns(own.otherwise(words).alias(Column.TEXT))


def words_of(domain: Domain, items: pl.DataFrame) -> pl.Series:
    """Ask a domain for the texts of items, and check that it returns one string per item.

    :param items: a catalog, whose column ``text`` is not passed to the domain.
    :returns: a Series named ``text``.
    :raises PluginError: if the domain fails or returns something else.
    """
    with plugins.blaming(domain, f"put {items.height} items into words"):
        words = domain.text(items.drop(Column.TEXT, strict=False))
    fits = isinstance(words, pl.Series) and words.dtype == pl.String and len(words) == items.height
    if not fits or words.null_count():
        what = f"a Series of {len(words)} {words.dtype}" if isinstance(words, pl.Series) else None
        nulls = f", {words.null_count()} of them null" if what and words.null_count() else ""
        raise PluginError(
            f"`text` of {plugins.provider(domain)} gave {what or type(words).__name__}{nulls} for "
            f"{items.height} items; expected is a polars Series of one string an item, in the same "
            "order, empty where nothing is known."
        )
    return words.alias(Column.TEXT)


def _in_words(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Convert a column to words; None for types that have none, such as bytes and structs."""
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
