"""Records of the service as a whole: Parquet files by day, and an operator's numbers.

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
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from lightrec_export.worth import earnings, worth_of

from lightrec.api import Column, DataError
from lightrec.data.files import new_file
from lightrec.data.parquet import KIND_KEY, SCHEMA_VERSION, VERSION_KEY
from lightrec.data.schema import LOG_SCHEMA
from lightrec_serve.tables import ANSWERS, DAY, FEEDBACK, LEFT, OUTSIDE, SESSIONS, SHOWN, TRIALS

ROWS: Final = 10_000
"""Rows that are held in memory at a time, and stand together in a file."""
SHOWN_KIND: Final = "shown"
"""The kind of event of what was shown."""
ARM, RANKED_BY, LOG_PROB = "arm", "ranked_by", "slate_log_probability"
"""Columns of what was shown that a log does not have."""
REQUEST: Final = "request"
PIECES: Final = 24
"""Pieces of time at most whose rates are told, so that a trend is seen."""
PERCENTS: Final = (50, 95, 99)
"""Quantiles of latencies."""
EPOCH: Final = date(1970, 1, 1)
LOG: Final[pa.Schema] = (
    pl.DataFrame(schema=LOG_SCHEMA)
    .to_arrow()
    .schema.with_metadata({VERSION_KEY: str(SCHEMA_VERSION), KIND_KEY: "log"})
)
SHOWN_LOG: Final = pa.schema(
    [*LOG, (ARM, pa.large_string()), (RANKED_BY, pa.large_string()), (LOG_PROB, pa.float64())]
)


@dataclass(frozen=True)
class ArmNumbers:
    """Counts of an arm.

    :param answers: slates.
    :param shown: items in them, places counted.
    :param accepted: of these, those whose feedback is of the goal or, without one, is worth more
        than 0.
    :param people: who were answered, or sessions of nobody who is known.
    :param rate: accepted / shown; 0 where nothing was shown.
    :param low: of the 95 % interval over people, see :func:`share_of`.
    :param high: of it.
    :param items: distinct ones that were shown.
    :param feedback: how many events of each kind came of the arm's sessions.
    :param latency_ms: 50, 95 and 99 % of the answers took no longer; empty where that is not known.
    :param trend: the time cut into :data:`PIECES` of equal length: of each that has answers its
        begin in milliseconds since 1970 UTC, and the items that were shown and accepted.
    """

    arm: str
    answers: int
    shown: int
    accepted: int
    people: int
    rate: float
    low: float
    high: float
    items: int
    feedback: dict[str, int]
    latency_ms: tuple[float, ...]
    trend: tuple[tuple[int, int, int], ...] = ()


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927, "Probable inference"); 0 to 1 without trials."""
    if not trials:
        return 0.0, 1.0
    squared = 1.959963984540054**2 / trials
    centre = (share + squared / 2) / (1 + squared)
    half = math.sqrt(squared * share * (1 - share) + squared**2 / 4) / (1 + squared)
    return max(0.0, centre - half), min(1.0, centre + half)


def share_of(
    people: int, shown: float, accepted: float, squares: Sequence[float]
) -> tuple[float, float, float]:
    """The share of shown items that was accepted, and its 95 % interval over people.

    What one person accepts is alike: the items count as so many independent ones as would give the
    ratio's variance between people (Kish 1965, "Survey sampling", the design effect), at most as
    many as there are.

    :param squares: sums over people of shown², shown · accepted, and accepted².
    """
    share = accepted / shown if shown else 0.0
    both, independent = share * (1 - share), min(float(people), shown)
    if both and people > 1:
        spread = squares[2] - 2 * share * squares[1] + share**2 * squares[0]
        between = people / (people - 1) * max(spread, 0.0) / shown**2
        independent = min(shown, both / between) if between else shown
    return share, *wilson(share, independent)


def _earned(
    connection: sa.Connection,
    worth: Mapping[str, float],
    goal: Collection[str],
    renamed: Mapping[str, str],
) -> dict[str, float]:
    """The worth that an event of each kind of feedback that there is earns.

    :param renamed: other names of kinds, by which they are worth what these are.
    """
    kinds = connection.scalars(sa.select(FEEDBACK.c.kind).distinct().order_by(FEEDBACK.c.kind))
    names = {kind: renamed.get(kind, kind) for kind in kinds}
    earned = earnings(worth_of(names.values(), worth, goal), goal)
    return {kind: earned[name] for kind, name in names.items()}


def numbers(
    connection: sa.Connection,
    worth: Mapping[str, float],
    since: int,
    goal: Collection[str],
    trial: bool,
) -> list[ArmNumbers]:
    """Count what each arm has shown, by the arms' names.

    :param worth: of kinds of feedback.
    :param since: milliseconds since 1970 UTC.
    :param goal: the kinds that are to be brought about.
    :param trial: to those who only tried the service.
    """
    good = [kind for kind, each in _earned(connection, worth, goal, {}).items() if each > 0]
    taken = sa.exists().where(
        FEEDBACK.c.answer == SHOWN.c.answer,
        FEEDBACK.c.item == SHOWN.c.item,
        FEEDBACK.c.kind.in_(good),
    )
    arm, late = ANSWERS.c.arm, sa.and_(ANSWERS.c.time >= since, _of(ANSWERS, trial))
    person = sa.func.coalesce(ANSWERS.c.user, ANSWERS.c.session)
    places = sa.join(ANSWERS, SHOWN, SHOWN.c.answer == ANSWERS.c.id)
    of_person = (
        sa.select(
            arm,
            sa.cast(sa.func.count(SHOWN.c.item), sa.Double).label("shown"),
            sa.cast(sa.func.sum(sa.case((taken, 1), else_=0)), sa.Double).label("taken"),
        )
        .select_from(sa.outerjoin(ANSWERS, SHOWN, SHOWN.c.answer == ANSWERS.c.id))
        .where(late)
        .group_by(arm, person)
        .subquery()
    )
    x, y, total = of_person.c.shown, of_person.c.taken, sa.func.sum
    sums = total(x), total(y), total(x * x), total(x * y), total(y * y)
    of_arm = sa.select(of_person.c.arm, sa.func.count(), *sums).group_by(of_person.c.arm)
    shown = {name: counts for name, *counts in connection.execute(of_arm)}
    distinct = sa.select(arm, sa.func.count(SHOWN.c.item.distinct())).select_from(places)
    items = dict(map(tuple, connection.execute(distinct.where(late).group_by(arm))))
    answers = sa.select(arm, sa.func.count()).where(late).group_by(arm)
    by_kind = (
        sa.select(SESSIONS.c.arm, FEEDBACK.c.kind, sa.func.count())
        .join_from(FEEDBACK, SESSIONS, SESSIONS.c.id == FEEDBACK.c.session)
        .where(FEEDBACK.c.time >= since, _of(FEEDBACK, trial))
        .group_by(SESSIONS.c.arm, FEEDBACK.c.kind)
        .order_by(FEEDBACK.c.kind)
    )
    feedback: dict[str, dict[str, int]] = {}
    for name, kind, count in connection.execute(by_kind):
        feedback.setdefault(name, {})[kind] = count
    latencies, rows = _latencies(connection, late), []
    trends = _trends(connection, late, taken)
    for name, count in sorted(map(tuple, connection.execute(answers))):
        people, had, accepted, *squares = shown[name]
        counts = count, int(had), int(accepted), people
        more = items.get(name, 0), feedback.get(name, {}), latencies.get(name, ())
        rates = share_of(people, had, accepted, squares)
        rows.append(ArmNumbers(name, *counts, *rates, *more, trends[name]))
    return rows


def _of(table: sa.Table, trial: bool) -> sa.ColumnElement[bool]:
    """What is of trials, or of none."""
    session = table.c.session
    return session.in_(TRIALS) if trial else session.not_in(TRIALS)


def _trends(
    connection: sa.Connection, late: sa.ColumnElement[bool], taken: sa.ColumnElement[bool]
) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """Count of each arm what was shown and accepted, piece by piece of the time."""
    time, arm = ANSWERS.c.time, ANSWERS.c.arm
    first, last = connection.execute(
        sa.select(sa.func.min(time), sa.func.max(time)).where(late)
    ).one()
    width = 0 if first is None else (last - first) // PIECES + 1
    piece = (time - first) // width if width else sa.literal(0)
    counts = sa.func.count(SHOWN.c.item), sa.func.sum(sa.case((taken, 1), else_=0))
    query = (
        sa.select(arm, piece.label("piece"), *counts)
        .select_from(sa.outerjoin(ANSWERS, SHOWN, SHOWN.c.answer == ANSWERS.c.id))
        .where(late)
        .group_by(arm, sa.literal_column("piece"))
        .order_by(arm, sa.literal_column("piece"))
    )
    trends: dict[str, list[tuple[int, int, int]]] = {}
    for name, number, shown, accepted in connection.execute(query):
        trends.setdefault(name, []).append((first + number * width, shown, accepted))
    return {name: tuple(pieces) for name, pieces in trends.items()}


def _latencies(
    connection: sa.Connection, late: sa.ColumnElement[bool]
) -> dict[str, tuple[float, ...]]:
    """Quantiles of each arm: the smallest latency that so many answers did not exceed."""
    arm, latency = ANSWERS.c.arm, ANSWERS.c.latency_ms
    ranked = (
        sa.select(
            arm,
            latency,
            sa.func.row_number().over(partition_by=arm, order_by=latency).label("rank"),
            sa.func.count().over(partition_by=arm).label("count"),
        )
        .where(late, latency.is_not(None))
        .subquery()
    )
    within = [100 * ranked.c.rank < ranked.c.count * percent + 100 for percent in PERCENTS]
    quantiles = [sa.func.max(sa.case((low, ranked.c.latency_ms))) for low in within]
    query = sa.select(ranked.c.arm, *quantiles).group_by(ranked.c.arm)
    return {name: tuple(each) for name, *each in connection.execute(query)}


def export(
    engine: sa.Engine,
    folder: Path,
    worth: Mapping[str, float],
    day: date | None,
    kinds: Mapping[str, str],
    goal: Collection[str],
    trial: bool,
) -> list[Path]:
    """Write the files of a day in UTC, or of all days that have any; each appears whole.

    The same record gives the same bytes. Feedback that comes later changes the day on which its
    item was shown: export that day again.

    :param folder: gets the folders ``log`` and ``shown``.
    :param worth: of kinds of feedback.
    :param kinds: other names for kinds of feedback, which stand in ``log`` and say what they are
        worth in ``shown``.
    :param goal: the kinds that are to be brought about.
    :param trial: the sessions of trials, and not the others.
    :returns: the files that were written.
    :raises DataError: where the folder cannot be written to.
    """
    files = []
    with engine.connect() as connection:
        earned = _earned(connection, worth, goal, kinds)
        for name, table, query, schema in (
            ("log", FEEDBACK, _log(kinds), LOG),
            ("shown", ANSWERS, _shown(earned), SHOWN_LOG),
        ):
            time, query = table.c.time, query.where(_of(table, trial))
            for number in _days(connection, time) if day is None else [(day - EPOCH).days]:
                within = query.where(time.between(number * DAY, number * DAY + DAY - 1))
                stem = (EPOCH + timedelta(days=number)).isoformat()
                file = folder / name / f"{stem}.parquet"
                if _write(connection, within, schema, file):
                    files.append(file)
    return files


def _days(connection: sa.Connection, time: sa.Column[int]) -> list[int]:
    """Find the days on which something happened, by looks into the index."""
    days, after = list[int](), 0
    while (
        first := connection.scalar(sa.select(sa.func.min(time)).where(time >= after))
    ) is not None:
        days.append(first // DAY)
        after = (days[-1] + 1) * DAY
    return days


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
