"""The interaction log: events of any kind in the canonical schema."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from lightrec.data.casts import to_log_column
from lightrec.data.parquet import CanonicalTable
from lightrec.data.schema import LOG_SCHEMA, Place, Problems
from lightrec.keys import Column

NO_EVENTS: Final = "There are no events."
HELD: Final = 1 << 22
"""Events that are grouped at once."""


class InteractionLog(CanonicalTable):
    """Events of any kind: what people saw and chose.

    One class holds ratings, implicit events, impressions with candidates, logged bandits without
    users, and aggregated counts; unknown columns are null. The rows are in the order of the file.

    :param events: any of the canonical columns (``lightrec.keys.Column``), in any order. Missing
        ones are added as null; ``feedback`` becomes ``rating`` where there is a value, ``count``
        where there is a count, and ``implicit`` otherwise. An item may be null only where
        candidates are given: the user then chose nothing.
    :param times: how numbers and strings in ``time`` are written (``lightrec.data.times``).
    :param place: where the events come from, for messages, and what the file calls its columns.
    :param skip: whether rows with problems of their own are left out.
    :raises DataError: with all problems (up to 20) if the table does not fit the schema.
    """

    kind = "log"

    def __init__(
        self,
        events: pl.DataFrame,
        *,
        times: str = "auto",
        place: Place | None = None,
        skip: bool = False,
    ) -> None:
        self.place = place = place or Place()
        """The source of the events, and the file's names of the columns."""
        problems = Problems(place.source, events.height if skip else None)
        for name in events.columns:
            if name not in LOG_SCHEMA:
                problems.add(
                    f"Column '{name}' is not part of a log; the columns are "
                    f"{', '.join(LOG_SCHEMA)}. Drop it, or rename it to one of these."
                )
        if events.height == 0:
            problems.add(NO_EVENTS)
        frame = events.with_columns(
            to_log_column(events[name], times, place, problems)
            if name in events.columns
            else pl.lit(None, dtype).alias(name)
            for name, dtype in LOG_SCHEMA.items()
        ).select(list(LOG_SCHEMA))
        rated = pl.when(pl.col(Column.VALUE).is_not_null()).then(pl.lit("rating"))
        counted = pl.when(pl.col(Column.COUNT).is_not_null()).then(pl.lit("count"))
        feedback = pl.coalesce(rated, counted, pl.lit("implicit")).cast(LOG_SCHEMA[Column.FEEDBACK])
        frame = frame.with_columns(pl.col(Column.FEEDBACK).fill_null(feedback))
        # An id that was refused is not missing, and neither are candidates. An empty list says that
        # nothing was chosen from an offer that was not kept.
        without = frame[Column.ITEM].is_null() & frame[Column.CANDIDATES].is_null()
        if Column.ITEM in events.columns and events[Column.ITEM].dtype != pl.String:
            without &= events[Column.ITEM].is_null()
        if Column.CANDIDATES in events.columns:
            without &= events[Column.CANDIDATES].is_null()
        problems.add_rows(
            without,
            lambda row: (
                f"{self.place.row(row)} has no item and no candidates; an item may be missing "
                "only where the candidates say what the user did not choose from."
            ),
        )
        problems.check()
        self.skipped = {place.row(row): said for row, said in problems.skipped.items()}
        """Faults of the rows that are left out, by what the rows are called."""
        if problems.skipped:
            kept = pl.int_range(frame.height, eager=True)
            kept = kept.filter(~kept.is_in(pl.Series([*problems.skipped]).implode()))
            frame, self.place = frame[kept], place.within(kept)
        self.events = self.rows = frame
        """The events, with all columns of the schema in its order."""

    def by_users(self, *columns: str | pl.Expr) -> Iterator[pl.DataFrame]:
        """Some columns and the users, as in :meth:`users`, in pieces of some :data:`HELD` events.

        All events of a user are in one piece, in the order of the log.
        """
        users = self.users()
        events = self.events.select(columns).with_columns(users.alias(Column.USER))
        numbers, count = users.to_physical().fill_null(0), len(self) // HELD + 1
        for piece in range(count):
            yield events if count == 1 else events.filter(numbers % count == piece)

    def users(self) -> pl.Series:
        """The user of each event, invented if the log has no users.

        That is one per session (``session NAME``); for events without one, one per impression
        (``impression NAME``); for events with neither, one per row, counted from 1 (``row 17``).
        """
        if self.has(Column.USER):
            return self.events[Column.USER]
        named = [pl.format(f"{name} {{}}", name) for name in (Column.SESSION, Column.IMPRESSION)]
        row = pl.format("row {}", pl.int_range(1, pl.len() + 1))
        made_up = pl.coalesce(*named, row).cast(LOG_SCHEMA[Column.USER]).alias(Column.USER)
        return self.events.select(made_up).to_series()
