"""An operator's numbers: what each arm has shown of late, and what people made of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import sqlalchemy as sa
from lightrec_export.worth import earnings, worth_of

from lightrec_serve.batching import Lane
from lightrec_serve.inbox import milliseconds
from lightrec_serve.store import Store
from lightrec_serve.tables import ANSWERS, FEEDBACK, SESSIONS, SHOWN, TRIALS

LONG: Final = 0.2
"""Seconds of counting from which on numbers are given again, for 30 times as long."""
PIECES: Final = 24
"""Pieces of time at most whose rates are given, so that a trend is seen."""
PERCENTS: Final = (50, 95, 99)
"""Quantiles of latencies."""


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


Counted = tuple[list[ArmNumbers], float | None]


class Numbers:
    """Counts for a service, one call after the other.

    :param weights: of the arms, by their names.
    """

    def __init__(self, store: Store, weights: Mapping[str, float]) -> None:
        self.store, self.weights, self.lane = store, weights, Lane("numbers")
        self._since = milliseconds()
        self._counted: dict[tuple[float, bool], tuple[float, Counted]] = {}
        """By hours, and whether of trials: numbers that are given again until a time."""

    async def of(self, hours: float, trial: bool = False) -> "Counted":
        """Count what each arm has shown in the last hours, or to those who only tried it.

        :returns: the numbers, and how likely chance splits people among the arms as unevenly.
        """
        if (held := self._counted.get((hours, trial))) is not None and monotonic() < held[0]:
            return held[1]
        began, since = monotonic(), milliseconds() - int(hours * 3_600_000)

        def count() -> Counted:
            counted = numbers(self.store, since, trial)
            late = since < self._since  # who came before this service may have seen other arms
            return counted, self._split(numbers(self.store, self._since) if late else counted)

        counted = await self.lane.call(count)
        if (took := monotonic() - began) > LONG:  # the page asks every 10 seconds
            self._counted = {(hours, trial): (monotonic() + 30 * took, counted)}
        return counted

    def _split(self, counted: Sequence[ArmNumbers]) -> float | None:
        """How likely chance splits people among the arms as unevenly: Pearson's chi-squared test.

        Near 0 something else splits them, such as requests that fail in one arm, and the arms
        cannot be compared. None where there are no two arms, or nobody has seen one.
        """
        from scipy.stats import chisquare

        met = {arm.arm: arm.people for arm in counted}
        weights = {name: weight for name, weight in self.weights.items() if weight}
        people = [met.get(name, 0) for name in weights]
        if len(weights) < 2 or not any(people):
            return None
        each = sum(people) / sum(weights.values())
        return float(chisquare(people, [each * weight for weight in weights.values()]).pvalue)


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


def earned_by(
    connection: sa.Connection, store: Store, renamed: Mapping[str, str]
) -> dict[str, float]:
    """The worth that an event of each kind of feedback that there is earns.

    :param renamed: other names of kinds, by which they are worth what these are.
    """
    kinds = connection.scalars(sa.select(FEEDBACK.c.kind).distinct().order_by(FEEDBACK.c.kind))
    names = {kind: renamed.get(kind, kind) for kind in kinds}
    earned = earnings(worth_of(names.values(), store.worth, store.goal), store.goal)
    return {kind: earned[name] for kind, name in names.items()}


def numbers(store: Store, since: int = 0, trial: bool = False) -> list[ArmNumbers]:
    """Count what each arm has shown since a time, by the arms' names.

    :param since: milliseconds since 1970 UTC.
    :param trial: to those who only tried the service.
    """
    with store.reading() as connection:
        good = [kind for kind, each in earned_by(connection, store, {}).items() if each > 0]
        taken = sa.exists().where(
            FEEDBACK.c.answer == SHOWN.c.answer,
            FEEDBACK.c.item == SHOWN.c.item,
            FEEDBACK.c.kind.in_(good),
        )
        arm, late = ANSWERS.c.arm, sa.and_(ANSWERS.c.time >= since, of_trials(ANSWERS, trial))
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
            .where(FEEDBACK.c.time >= since, of_trials(FEEDBACK, trial))
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


def of_trials(table: sa.Table, trial: bool) -> sa.ColumnElement[bool]:
    """What is of trials, or of none."""
    return (table.c.session.in_ if trial else table.c.session.not_in)(TRIALS)


def _trends(
    connection: sa.Connection, late: sa.ColumnElement[bool], taken: sa.ColumnElement[bool]
) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """Count of each arm what was shown and accepted, piece by piece of the time."""
    time, arm = ANSWERS.c.time, ANSWERS.c.arm
    ends = sa.select(sa.func.min(time), sa.func.max(time)).where(late)
    first, last = connection.execute(ends).one()
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
