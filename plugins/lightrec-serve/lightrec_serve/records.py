"""Records of the service as a whole: Parquet files by day.

``log/2026-11-27.parquet`` has the day's feedback as new rows of a log, for ``lightrec update RUN
--log log``: the session, the answer as the impression, and the position. It has no propensities: a
log that has some keeps every row as a decision of its own, and one day of it would change how a
run treats its whole log.

``shown/2026-11-27.parquet`` has a row for each item that was shown that day, for ``lightrec
estimate RUN shown``: the value is what its feedback was worth, the
strongest where there are several, and 0 where there is none; where the run has a goal, events on
the way to it, such as views, earn nothing. An item that a standing rule pinned to its place is the
only one of its ``candidates``, so that no estimator takes it for a choice; those of a place that
was drawn are what the request and the rules left open there. Other columns name the arm, what
ranked, and the logarithm of the probability of the whole slate.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from lightrec.api import Column, DataError
from lightrec.data.files import new_file
from lightrec.data.parquet import KIND_KEY, SCHEMA_VERSION, VERSION_KEY
from lightrec.data.schema import LOG_SCHEMA
from lightrec_serve.numbers import earned_by, of_trials
from lightrec_serve.store import Store
from lightrec_serve.tables import ANSWERS, DAY, FEEDBACK, LEFT, OUTSIDE, SHOWN

ROWS: Final = 10_000
"""Rows that are held in memory at a time, and stand together in a file."""
SHOWN_KIND: Final = "shown"
"""The kind of event of what was shown."""
ARM, RANKED_BY, LOG_PROB = "arm", "ranked_by", "slate_log_probability"
"""Columns of what was shown that a log does not have."""
REQUEST: Final = "request"
EPOCH: Final = date(1970, 1, 1)
LOG: Final[pa.Schema] = (
    pl.DataFrame(schema=LOG_SCHEMA)
    .cast({pl.Categorical: pl.String})
    .to_arrow()
    .schema.with_metadata({VERSION_KEY: str(SCHEMA_VERSION), KIND_KEY: "log"})
)
SHOWN_LOG: Final = pa.schema(
    [*LOG, (ARM, pa.large_string()), (RANKED_BY, pa.large_string()), (LOG_PROB, pa.float64())]
)


def export(
    store: Store,
    folder: Path,
    day: date | None = None,
    kinds: Mapping[str, str] | None = None,
    trial: bool = False,
) -> list[Path]:
    """Write the files of a day in UTC, or of all days that have any; each appears whole.

    The same record gives the same bytes. Feedback that comes later changes the day on which its
    item was shown: export that day again.

    :param folder: gets the folders ``log`` and ``shown``.
    :param kinds: other names for kinds of feedback, such as those of a run's own log
        (``{"accepted": "click"}``), which stand in ``log`` and say what they are worth in
        ``shown``.
    :param trial: the sessions of trials, and not the others.
    :returns: the files that were written: ``log/2026-11-27.parquet``, ``shown/2026-11-27.parquet``.
        A day on which nothing happened has none.
    :raises DataError: where the folder cannot be written to.
    """
    store.flush()
    files = []
    with store.reading() as connection:
        earned = earned_by(connection, store, kinds or {})
        for name, table, query, schema in (
            ("log", FEEDBACK, _log(kinds or {}), LOG),
            ("shown", ANSWERS, _shown(earned), SHOWN_LOG),
        ):
            time, query = table.c.time, query.where(of_trials(table, trial))
            some = sa.select((time // DAY).label("day")).distinct().order_by("day")
            for number in connection.scalars(some) if day is None else [(day - EPOCH).days]:
                within = query.where(time.between(number * DAY, number * DAY + DAY - 1))
                stem = (EPOCH + timedelta(days=number)).isoformat()
                file = folder / name / f"{stem}.parquet"
                if _write(connection, within, schema, file):
                    files.append(file)
    return files


def _log(kinds: Mapping[str, str]) -> sa.Select[Any]:
    """Select feedback as events of a log, in the order of their times."""
    event = FEEDBACK.c
    kind: sa.ColumnElement[str] = event.kind
    if kinds:
        kind = sa.case(dict(kinds), value=event.kind, else_=event.kind)
    place = sa.and_(SHOWN.c.answer == event.answer, SHOWN.c.item == event.item)
    outside = event.session == OUTSIDE + event.user
    session = sa.case((outside, None), else_=event.session).label(Column.SESSION)
    # All other columns are called as those of a log.
    same = event.user, event.item, event.time, event.value, session, SHOWN.c.position
    return (
        sa.select(*same, kind.label(Column.FEEDBACK), event.answer.label(Column.IMPRESSION))
        .join_from(FEEDBACK, SHOWN, place, isouter=True)
        .order_by(event.time, event.number)
    )


def _shown(worth: Mapping[str, float]) -> sa.Select[Any]:
    """Select the items that were shown, with what their feedback was worth."""
    event, answer = FEEDBACK.c, ANSWERS.c
    counts = {kind: each for kind, each in worth.items() if each}
    earned: Any = sa.literal(0.0)
    if counts:
        each = sa.func.coalesce(event.value, 1.0) * sa.case(counts, value=event.kind)
        strongest = sa.select(sa.func.max(each)).where(
            event.answer == SHOWN.c.answer, event.item == SHOWN.c.item, event.kind.in_(counts)
        )
        earned = sa.func.coalesce(strongest.scalar_subquery(), 0.0)
    of_answer = answer.user, answer.time, answer.session, answer.arm, answer.ranked_by
    of_place = SHOWN.c.item, SHOWN.c.position, SHOWN.c.propensity
    return (
        sa.select(
            *(*of_answer, answer.request, *of_place),
            sa.literal(SHOWN_KIND).label(Column.FEEDBACK),
            earned.label(Column.VALUE),
            answer.id.label(Column.IMPRESSION),
            answer.log_prob.label(LOG_PROB),
        )
        .join_from(ANSWERS, SHOWN, SHOWN.c.answer == answer.id)
        .order_by(answer.time, answer.number, SHOWN.c.position)
    )


def _candidates(
    request: str, item: str, place: int, named: Callable[[str], list[str]]
) -> list[str] | None:
    """The items that could come at a place, an only one where it is pinned; None for all.

    :param place: counted from 1.
    :param named: gives the items that a mark stands for.
    """
    said = json.loads(request) if '"pinned"' in request or '"left"' in request else {}
    if item in said.get("rules", {}).get("pinned", ()):
        return [item]
    mark = said["left"][place - 1] if "left" in said else ""
    return named(mark) if mark else None


def _write(connection: sa.Connection, query: sa.Select[Any], schema: pa.Schema, file: Path) -> bool:
    """Write what a query finds, some rows at a time; tell whether it finds anything."""
    cursor = connection.execution_options(yield_per=ROWS).execute(query)

    @lru_cache(1_000)
    def named(mark: str) -> list[str]:
        one = sa.select(LEFT.c.named).where(LEFT.c.mark == mark)
        items: list[str] = json.loads(connection.scalar(one) or "[]")
        return items

    def table(rows: Sequence[sa.Row[Any]]) -> pa.Table:
        values = [dict(row._mapping) for row in rows]
        for row in values:
            if REQUEST in row:
                where = row[REQUEST], row[Column.ITEM], row[Column.POSITION]
                row[Column.CANDIDATES] = _candidates(*where, named)
        return pa.Table.from_pylist(values, schema=schema)

    parts = cursor.partitions()
    if (first := next(parts, None)) is None:
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with new_file(file) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for rows in chain([first], parts):
                writer.write_table(table(rows))
    except OSError as error:
        raise DataError(f"The file cannot be written ({error.strerror or error}).", file) from None
    finally:
        cursor.close()
    return True
