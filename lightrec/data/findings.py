"""A summary of a log and its tables: what is dropped or tolerated, and what orders the events."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec.data.catalog import Users
from lightrec.data.domain import Domain, with_texts
from lightrec.data.events import Dropped, Events, Mask, drop, drop_rare, encode, number, tied
from lightrec.data.languages import fitted, languages_of, width, wording
from lightrec.data.languages import in_words as in_languages
from lightrec.data.pairs import funnel, worths
from lightrec.data.readers.base import Tables
from lightrec.data.types import MISSING, Attribute
from lightrec.data.visitors import bots, persons, renamed
from lightrec.errors import DataError, no_such
from lightrec.keys import Column

LOGS_KIND: Final = "a kind of feedback that the log has"
LEFT_OUT: Final = {
    "dropped_without_user": "events without a user, or of a bot that is left out",
    "dropped_without_time": "events without a time that can be read, in a log that has times",
    "dropped_without_weight": "events whose feedback has no weight, or weight 0",
    "dropped_below_minimum": "events below the minimum value",
    "dropped_duplicate": "duplicates: same user, item, time and feedback as an earlier event",
    "dropped_repeated": "repeats of a user and an item: the strongest stays, or what takes it back",
    "dropped_k_core": "events of users or items with too few events (k-core)",
}
"""Events that are dropped, in the order of the steps."""

TOLERATED: Final = {
    "users_made_up": "users invented, one per session, impression or row: the log names none",
    "users_with_one_event": "users with one event, which is trained on and never tested",
    "users_without_train": "users without a training event",
    "users_without_row": "users without a row in the user table, kept with empty attributes",
    "items_without_row": "items without a row in the item table, kept with empty text",
    "items_without_text": "items without text",
    "items_with_own_text": "items with the item table's own text in place of the domain's words",
    "choices_not_offered": "choices that were not among the candidates, kept as history only",
    "events_at_one_time": "events at the same time as another of their user, ordered by the file "
    "or, with --data.equal_times shuffle, at random",
    "events_on_one_day": "events on the same day as another of their user (times are dates alone), "
    "ordered by the file or, with --data.equal_times shuffle, at random",
    "users_with_tied_end": "users whose last event is at the same time as the one before it",
    "ids_with_blanks": "ids with blanks around them, kept as they are",
    "ids_of_nothing": "ids such as '--' or 'n/a', which often stand for a missing one",
}
"""Oddities that are tolerated."""
TIES: Final = {name: TOLERATED[name] for name in ("events_at_one_time", "events_on_one_day")}

NO_ITEMS: Final = pl.DataFrame(
    schema=dict.fromkeys([Column.ITEM, Column.TITLE, Column.TEXT], pl.String)
)
"""The item table of a log without one."""
WIDTH: Final = 14
"""Width in characters of the names in front of the lines of a summary."""
DAY: Final = 86_400_000
PAIRS: Final = 50
"""Number of neighbours below which an order may be chance."""
SORTED: Final = 0.95
"""Share of neighbours in one order from which a file counts as sorted."""
LEANING: Final = 0.6
"""Share from which part of it may be."""


@dataclass(frozen=True)
class LogSummary:
    """The report of ``lightrec data check`` on files that can be used.

    :param counts: events, users, items, and the counts of ``LEFT_OUT`` and ``TOLERATED``.
    :param times: the first and the last time in ISO 8601; None in a log without times.
    :param feedback: how many events there are of each feedback.
    :param negative: the kinds of feedback of negative worth.
    :param columns: column of the log to column of the file, or to itself if the file does not name
        its columns.
    :param ignored: columns of the file that have no place in a log.
    :param form: the format of the log's file in words, empty where the reader does not say.
    :param items: the attributes of the item table.
    :param users: the attributes of the user table.
    :param left_out: the dropped events of ``counts`` by feedback; empty if there is only one kind.
    :param order: what the file seems to be sorted by, if its order counts; empty if nothing.
    :param languages: of the items' titles, the share of each by ISO 639-1 code; empty where there
        are too few words to tell.
    :param used: the events, users and items that are left after the k-core; empty if all are.
    :param bots: users who are programs, each with why; see :func:`lightrec.data.visitors.bots`.
    :param bots_left_out: whether their events count as nobody's.
    :param ids: how many user ids the log has where a table says whose they are, else 0; ``users``
        of ``counts`` then counts persons.
    :param proposed: a goal where none is given, with the share of its events that repeat others;
        see :func:`lightrec.data.pairs.funnel`.
    """

    counts: Mapping[str, int]
    times: tuple[str, str] | None
    feedback: Mapping[str, int]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    negative: Sequence[str] = ()
    left_out: Dropped = field(default_factory=dict)
    items: Sequence[Attribute] = ()
    users: Sequence[Attribute] = ()
    order: str = ""
    form: str = ""
    languages: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    proposed: Sequence[tuple[str, float]] = ()
    bots: Mapping[str, str] = field(default_factory=dict)
    events_of_bots: int = 0
    bots_left_out: bool = False
    ids: int = 0


def glance(
    tables: Tables,
    domain: Domain,
    weights: Mapping[str, float] | None = None,
    goal: Sequence[str] = (),
) -> LogSummary:
    """Say what was recognised in tables, before anything is counted that takes long.

    :param weights: the worth of each kind of feedback; None: as the domain says.
    :param goal: the kinds that are to be brought about.
    """
    people, whose = persons(tables.users)
    log, catalog = renamed(tables.log, whose), tables.catalog
    times = log.events[Column.TIME].drop_nulls()
    kinds = dict(log.events[Column.FEEDBACK].value_counts(sort=True).iter_rows())
    proposed = [] if goal else funnel(log, domain)
    aims = goal or [kind for kind, _ in proposed]
    worth = domain.weights(list(kinds), aims) if weights is None else weights
    ends = pl.Series([times.min(), times.max()], dtype=times.dtype)
    programs = bots(log, aims)
    return LogSummary(
        counts={
            "events": len(log),
            "users": log.users().drop_nulls().n_unique(),
            "items": log.events[Column.ITEM].drop_nulls().n_unique(),
        },
        times=tuple(ends.dt.strftime("%Y-%m-%dT%H:%M:%SZ")) if len(times) else None,
        feedback=kinds,
        columns=dict(log.place.names) or {c: c for c in log.events.columns if log.has(c)},
        ignored=log.place.ignored,
        negative=[kind for kind in kinds if (worth or {}).get(kind, 0) < 0],
        items=() if catalog is None else catalog.attributes(),
        users=() if people is None else people.attributes(),
        form=log.place.form,
        proposed=proposed,
        bots=programs,
        events_of_bots=int(log.events[Column.USER].is_in([*programs]).sum()),
        ids=tables.log.users().drop_nulls().n_unique() if whose else 0,
    )


def look_at(
    tables: Tables,
    domain: Domain,
    least: int = 0,
    goal: Sequence[str] = (),
    repeats: bool = False,
    leave_out_bots: bool = False,
) -> LogSummary:
    """Count what a run over these tables would find, drop and tolerate.

    :param domain: describes items and says whether an item may repeat.
    :param least: the k of the k-core. Users and items are counted, and oddities tolerated, before
        it, but for users with one event; it comes last.
    :param goal: the kinds of feedback that are to be brought about.
    :param repeats: whether items may repeat even where the domain does not say so.
    :param leave_out_bots: whether events of users who are programs count as nobody's.
    :raises DataError: where the log has no event of a kind of the goal.
    """
    seen, catalog = glance(tables, domain, goal=goal), tables.catalog
    kinds = list(seen.feedback)
    if unknown := [
        f"goal: {no_such(LOGS_KIND, kind, kinds)}" for kind in goal if kind not in kinds
    ]:
        raise DataError(unknown)
    table, whose = persons(tables.users)
    log = renamed(tables.log, whose)
    if leave_out_bots:
        log = renamed(log, dict.fromkeys(seen.bots))
    events = encode(log, worths(log, domain, goal), goal)
    drop(events, repeats=repeats or domain.repeats)
    worded = NO_ITEMS if catalog is None else with_texts(domain, catalog.rows)
    counts, order, used = tally(events, *number(events)[1:], worded, table), order_note(events), {}
    drop_rare(events, least)
    counts["users_with_one_event"] = _with_one_event(events)
    if rare := len(events.fates.get("dropped_k_core", ())):
        counts["dropped_k_core"] = rare
        _, items, people = number(events)
        used = {"events": len(events.users), "users": len(people), "items": len(items)}
    without = {n: c for n, c in counts.items() if catalog or not n.startswith("items_without")}
    return replace(
        seen,
        bots_left_out=leave_out_bots,
        counts={**seen.counts, **without},
        left_out=events.left_out,
        order=order,
        languages=languages_of(wording(worded)),
        used=used,
    )


def recognised(findings: LogSummary) -> list[str]:
    """Set in lines what was recognised in files: their format, times, kinds and columns."""
    times = findings.times
    kinds = [f"{name} {count:,}" for name, count in list(findings.feedback.items())[:10]]
    columns = [n if c == n else f"{n} as {c}" for c, n in findings.columns.items()]
    programs, people = len(findings.bots), findings.counts["users"]
    rows = {
        "format": findings.form,
        **{name: f"{findings.counts[name]:,}" for name in ("events", "users", "items")},
        "time": f"{times[0]} to {times[1]}" if times else "none; the order of the file counts",
        "feedback": ", ".join(kinds),
        "negative": f"{', '.join(findings.negative)}: worth below 0, so in histories and never a "
        "target; weights may say otherwise"
        if findings.negative
        else "",
        "goal": "".join(
            f"none; give --goal {shlex.quote(kind)} if that is what the recommender is for: "
            f"{share:.0%} of these follow another kind of event of the same user and item"
            for kind, share in findings.proposed
        ),
        "persons": f"{findings.ids:,} user ids are those of {people:,} persons"
        if findings.ids
        else "",
        "bots": f"{programs:,} user{'s' * (programs > 1)} with {findings.events_of_bots:,} events: "
        f"{'; '.join(f'{user} ({why})' for user, why in [*findings.bots.items()][:3])}. "
        f"{'They are left out' if findings.bots_left_out else 'Leave them out'} with "
        "--leave-out-bots"
        if programs
        else "",
        "columns": ", ".join(columns),
        "titles in": in_languages(findings.languages),
        "not used": ", ".join(name or "''" for name in findings.ignored),
    }
    lines = [f"{name:<{WIDTH}}{text}" for name, text in rows.items() if text]
    for title, attributes in (("items:", findings.items), ("users:", findings.users)):
        lines += ["", title] if attributes else []
        widest = max([WIDTH - 4, *(width(each.name) for each in attributes)]) + 2
        for each in attributes:
            lead = "" if each.kind in ("number", "date") else "such as "
            missing = f", {each.missing:.1%} missing" if each.missing else ""
            missing += f"; {each.note}" if each.note else ""
            lines.append(
                f"  {fitted(each.name, widest)}{each.kind:<10}{each.values:>7,} values, "
                f"{lead}{' '.join(each.example.split())[:40]}{missing}"
            )
    return lines


def tally(
    events: Events, items: pl.Series, users: pl.Series, worded: pl.DataFrame, table: Users | None
) -> dict[str, int]:
    """Count what was dropped and what is tolerated.

    :param events: sorted by user and time.
    :param items: ids of the remaining items, and ``users`` those of the remaining users.
    :param worded: the catalog with the domain's words, such as :data:`NO_ITEMS`.
    :param table: the user table, a row for each person.
    """
    described = users if table is None else table.rows[Column.USER]
    named = worded.filter(pl.col(Column.TEXT) != "")[Column.ITEM]
    nothing = pl.Series(MISSING).implode()
    # Without times, none says that two events share a moment.
    shared, there = tied(events.users, events.times), events.log.has(Column.TIME)
    dates = not (events.times % DAY).any()
    last = _last_of_user(events)
    return {
        **{why: len(rows) for why, rows in events.fates.items()},
        "events_at_one_time": int(shared.sum()) * (there and not dates),
        "events_on_one_day": int(shared.sum()) * (there and dates),
        "users_with_tied_end": int((shared & last).sum()) * there,
        "choices_not_offered": events.not_offered,
        "users": len(users),
        "users_made_up": 0 if events.log.has(Column.USER) else len(users),
        "users_with_one_event": _with_one_event(events),
        "users_without_row": int((~users.is_in(described.implode())).sum()),
        "items": len(items),
        "items_without_row": int((~items.is_in(worded[Column.ITEM].implode())).sum()),
        "items_without_text": int((~items.is_in(named.implode())).sum()),
        "ids_with_blanks": sum(int((ids != ids.str.strip_chars()).sum()) for ids in (items, users)),
        "ids_of_nothing": sum(
            int(ids.str.to_lowercase().is_in(nothing).sum()) for ids in (items, users)
        ),
    }


def _last_of_user(events: Events) -> Mask:
    return np.append(events.users[1:] != events.users[:-1], True)[: len(events.users)]


def _with_one_event(events: Events) -> int:
    return int((np.diff(np.flatnonzero(_last_of_user(events)), prepend=-1) == 1).sum())


def in_words(
    counts: Mapping[str, int], kinds: Mapping[str, str], by_feedback: Dropped | None = None
) -> list[tuple[int, str]]:
    """List the counts that are not 0, each with its words.

    :param counts: such as those of ``meta.json``.
    :param kinds: ``LEFT_OUT`` or ``TOLERATED``.
    :param by_feedback: the counts by feedback, such as ``left_out`` of ``meta.json``.
    """
    rows = []
    for kind in [kind for kind in kinds if counts.get(kind)]:
        parts = (by_feedback or {}).get(kind, {})
        shown = ", ".join(f"{name} {count:,}" for name, count in parts.items())
        rows.append((counts[kind], kinds[kind] + (f" ({shown})" if shown else "")))
    return rows


def order_note(events: Events) -> str:
    """Say what a file was sorted by, where nothing but its order says which event came first.

    :param events: sorted by user and time, and otherwise in the order of the file.
    :returns: whole sentences; empty where nothing points to a sorted file.
    """
    has_times = events.log.has(Column.TIME)
    which = "Events of a user at the same time" if has_times else "The events of a user"
    users, times = events.users, events.times
    pairs = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    orders = [(share, words) for share, words in _orders(events, pairs) if share >= LEANING]
    if not orders:
        return _reversed(events, pairs) if has_times else ""
    share, words = max(orders, key=lambda order: order[0])
    if share < SORTED:
        return (
            f"{which} lean to {words}: {share:.0%} of neighbours are in that order, and 50% would "
            "be chance. Either newer items have later ids, or part of the file was sorted. "
            "Compare with --data.equal_times shuffle."
        )
    return (
        f"{which} are in {words}, so that file order says nothing of what came first: "
        "leave-one-out then holds out what stands last in that order. Use "
        f"--data.equal_times shuffle{'' if has_times else ', or give a log with times'}."
    )


def _orders(events: Events, pairs: Mask) -> Iterator[tuple[float, str]]:
    """The share of neighbours that are in each order, with its words."""
    ids = events.item_words
    kinds = {"alphabetical": ids.rank("ordinal").to_numpy()}
    if ids.str.contains(r"^\d+$").all():
        # Shorter ids have lower codes.
        kinds = {"numerical": np.arange(len(ids), dtype=np.int32)} | kinds
    chosen = pairs & (events.items[1:] >= 0) & (events.items[:-1] >= 0)
    for kind, rank in kinds.items():
        yield from _shares(rank[events.items], chosen, f"{kind} order of their items")
    if events.log.has(Column.VALUE) or events.log.has(Column.COUNT):
        yield from _shares(events.strengths, pairs, "the order of their values")


def _shares(keys: NDArray[np.number], pairs: Mask, words: str) -> Iterator[tuple[float, str]]:
    up, down = ((keys[1:] > keys[:-1]) & pairs).sum(), ((keys[1:] < keys[:-1]) & pairs).sum()
    if up + down >= PAIRS:
        yield up / (up + down), words
        yield down / (up + down), f"{words}, the last first"


def _reversed(events: Events, pairs: Mask) -> str:
    """Say that the file has the newest events first, where that decides between equal times."""
    later = (events.users[1:] == events.users[:-1]) & (events.times[1:] > events.times[:-1])
    above = later & (events.rows[1:] < events.rows[:-1])
    if min(pairs.sum(), later.sum()) < PAIRS or above.sum() < SORTED * later.sum():
        return ""
    return (
        "The file has a user's newest events first, and among events at the same time file order "
        "counts, which puts later ones first there. Sort the file with the oldest events first, or "
        "use --data.equal_times shuffle."
    )
