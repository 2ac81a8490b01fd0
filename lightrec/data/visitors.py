"""Who stands behind the ids of a log: one person under several ids, and programs."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from lightrec.data.casts import to_ids
from lightrec.data.catalog import Users
from lightrec.data.log import InteractionLog
from lightrec.data.schema import Place, Problems
from lightrec.keys import Column

PERSON: Final = "person"
"""The column of a user table that says whose an id is."""
HOURS: Final = 20
"""Hours of one day in which nobody is up."""
STEADY, GAPS, COARSE = 0.8, 50, 5
"""Share of a user's gaps within a tenth of their median; out of how many gaps; and the least median
in units of the log's clock, below which it is too coarse to tell."""
UNITS: Final = (86_400_000, 3_600_000, 60_000, 1_000, 1)
EXPECTED: Final = 20
"""Orders that as many events of others have, of which a user has none."""


def persons(users: Users | None) -> tuple[Users | None, dict[str, str]]:
    """Leave a row for each person in a user table that says ``person``: its own, or else the first.

    Ids may lead to each other.

    :returns: the table without that column, and whose each id is that is another person's.
    """
    if users is None or PERSON not in users.rows.columns:
        return users, {}
    named = users.rows.with_columns(to_ids(users.rows[PERSON], Place(), Problems()).alias(PERSON))
    leads = dict(named.select(Column.USER, PERSON).drop_nulls().iter_rows())
    whose = dict[str, str]()
    for name in leads:
        way = [name]
        while (person := leads.get(way[-1], way[-1])) not in way:
            way.append(person)
        if (end := min(way[way.index(person) :])) != name:
            whose[name] = end
    rows = named.drop(PERSON).with_columns(pl.col(Column.USER).replace(whose))
    rows = rows[(named[Column.USER] != rows[Column.USER]).arg_sort()]
    rows = rows.unique(Column.USER, keep="first", maintain_order=True)
    kinds = {name: kind for name, kind in users.kinds.items() if name != PERSON}
    return Users(rows, place=users.place, types=kinds), whose


def renamed(log: InteractionLog, whose: Mapping[str, str | None]) -> InteractionLog:
    """A log whose events have other users, or none."""
    if not whose or not log.has(Column.USER):
        return log
    users = pl.col(Column.USER).replace(dict(whose))
    return InteractionLog(log.events.with_columns(users), place=log.place)


def bots(log: InteractionLog, goal: Sequence[str] = ()) -> dict[str, str]:
    """Find users that are programs, each with why, by rules that hardly any human meets.

    :param goal: the kinds of feedback that are to be brought about, which others have.
    """
    programs: dict[str, str] = {}
    if not log.has(Column.USER):
        return programs
    is_goal = pl.col(Column.FEEDBACK).is_in([*goal])
    rate = log.events.select(is_goal.filter(pl.col(Column.USER).is_not_null()).mean()).item()
    stamps = log.events[Column.TIME].drop_nulls().to_physical()
    unit = next(unit for unit in UNITS if (stamps % unit == 0).all())
    user, time = pl.col(Column.USER), pl.col(Column.TIME)
    for events in log.by_users(Column.TIME, Column.FEEDBACK):
        events = events.drop_nulls(Column.USER)
        if goal:
            each = events.group_by(user).agg(n=pl.len(), had=is_goal.sum())
            none = each.filter((pl.col("had") == 0) & (pl.col("n") * rate >= EXPECTED))
            reason = f"no {' or '.join(goal)} in {{:,}} events, where others have {{:.0f}}"
            programs |= {name: reason.format(n, n * rate) for name, n, _ in none.iter_rows()}
        times = events.drop_nulls(Column.TIME).unique([Column.USER, Column.TIME]).sort(user, time)
        gaps = times.with_columns(gap=time.diff().over(user).dt.total_milliseconds()).drop_nulls()
        if gaps.height:
            middle = pl.col("gap").median()
            near = (pl.col("gap") / middle - 1).abs() <= 0.1
            each = gaps.group_by(user).agg(n=pl.len(), median=middle, near=near.mean())
            within = pl.col("median").is_between(COARSE * unit, 3_600_000)
            clocks = each.filter(within & (pl.col("n") >= GAPS) & (pl.col("near") >= STEADY))
            for name, n, median, _ in clocks.iter_rows():
                programs[name] = f"an event every {median / 1000:g} seconds, {n:,} times"
        days = times.group_by(user, time.dt.date().alias("day"))
        hours = days.agg(hours=time.dt.hour().n_unique()).group_by(user).agg(pl.col("hours").max())
        for name, count in hours.filter(pl.col("hours") >= HOURS).iter_rows():
            programs[name] = f"events in {count} hours of one day"
    return dict(sorted(programs.items()))
