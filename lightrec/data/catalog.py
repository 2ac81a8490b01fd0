"""The item and user tables that accompany a log, with their texts and attributes."""

from collections.abc import Mapping
from typing import ClassVar, Self

import polars as pl

from lightrec.data.casts import check_attribute, to_required_ids, to_words
from lightrec.data.parquet import CanonicalTable
from lightrec.data.schema import Place, Problems
from lightrec.data.types import Attribute, Kind, typed
from lightrec.keys import Column


class _Table(CanonicalTable):
    """Rows with a unique id and any attributes, in the order given.

    :param types: kinds of attributes, in place of those that are recognised; other names in it do
        not count, see :meth:`retyped`.
    """

    key: ClassVar[str]
    words: ClassVar[tuple[str, ...]] = ()
    kinds: dict[str, Kind]

    def __init__(
        self,
        rows: pl.DataFrame,
        *,
        place: Place | None = None,
        types: Mapping[str, Kind] | None = None,
    ) -> None:
        place = place or Place()
        self._source = rows, place, dict(types or {})
        problems = Problems(place.source)
        if self.key not in rows.columns:
            has = ", ".join(rows.columns) or "no columns"
            problems.add(f"The {self.kind} table has no column '{self.key}'; it has {has}.")
            problems.check()
        if rows.height == 0:
            problems.add(f"There are no rows; the {self.kind} table needs one for each {self.key}.")
        ids = to_required_ids(rows[self.key], self.key, place, problems)
        problems.add_rows(
            ~ids.is_first_distinct() & ids.is_not_null(),
            lambda row: f"{place.row(row)}: {self.key} '{ids[row]}' is in an earlier row too.",
        )
        wordless = [name for name in self.words if name not in rows.columns]
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in wordless)
        words = [to_words(rows[name], place, problems) for name in self.words]
        attributes = [rows[n] for n in rows.columns if n != self.key and n not in self.words]
        for attribute in attributes:
            check_attribute(attribute, place, problems)
        problems.check()
        values, self.kinds = typed(pl.DataFrame(attributes), types or {}, place, problems)
        problems.check()
        self.rows = pl.DataFrame([ids, *words, *values])
        self.place = place
        """The source of the rows."""

    def retyped(self, types: Mapping[str, Kind]) -> Self:
        """The same table with other kinds of some attributes, read again from what was given.

        :raises DataError: where a value does not fit its kind.
        """
        rows, place, kinds = self._source
        return type(self)(rows, place=place, types=kinds | dict(types)) if types else self

    def attributes(self) -> list[Attribute]:
        """Describe the titles, if there are any, and the attributes in the order of the columns."""
        kinds: dict[str, Kind] = {name: "words" for name in self.words[:1] if self.has(name)}
        return [Attribute.of(self.rows[n], kind) for n, kind in (kinds | self.kinds).items()]


class Catalog(_Table):
    """The items: ``item`` (str, unique), ``title`` and ``text`` (str, may be null), attributes.

    :param rows: the columns above and any others, which become attributes.
    :param place: the source of the rows, for messages.
    :raises DataError: with all problems (up to 20).
    """

    kind = "catalog"
    key = Column.ITEM
    words = (Column.TITLE, Column.TEXT)


class Users(_Table):
    """The users: ``user`` (str, unique) and any attributes.

    :param rows: one row per user.
    :param place: the source of the rows, for messages.
    :raises DataError: with all problems (up to 20).
    """

    kind = "users"
    key = Column.USER
