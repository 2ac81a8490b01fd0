"""The store: sessions, what was shown, feedback, and items put while serving, in SQL.

One thread of a process writes. It takes all that waits into one transaction, so that callers who
arrive together share one wait for the disk (group commit). Several processes may use one database.
"""

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

import sqlalchemy as sa

from lightrec.api import Column, DataError
from lightrec_serve.tables import (
    ANSWERS,
    FEEDBACK,
    GOAL,
    ITEMS,
    LEFT,
    LONGEST,
    PATIENCE,
    READING,
    SESSIONS,
    SHOWN,
    USERS,
    WORTH,
    WRITING,
    Answer,
    Feedback,
    ItemChange,
    Session,
    StoreError,
    failing,
    in_words,
    inserting,
    name_of,
    open_database,
    storable,
)

__all__ = ["Answer", "Feedback", "ItemChange", "Session", "Store", "StoreError"]

WAITING: Final = 10_000
"""Calls that wait for the writer; more wait for room."""
MARKS: Final = 10_000
"""Sets of items that are remembered as written."""
GATHER: Final = 0.05
"""Seconds for which answers wait for others, unless somebody waits for the writer."""
AGAIN: Final = 1.0
"""Seconds after which answers that could not be written are tried again."""

EVERY: Final = 2**31 - 1
"""As many as there are."""
SESSION, USER = (sa.bindparam(name, type_=sa.Text) for name in ("session", "user"))
LAST: Final = sa.bindparam("last", type_=sa.Integer)

_Rows: TypeAlias = Mapping[sa.Table, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class _Call:
    """Rows that somebody wants written, and what that somebody waits for; None: does not wait."""

    rows: _Rows
    done: Future[list[bool]] | None = None


class Store(AbstractContextManager["Store"]):
    """The records of a service, in SQLite or PostgreSQL.

    A call that writes returns after the commit, which waits for the disk; only :meth:`answered`
    does not wait. Where a transaction fails, all its callers get the error, nothing of it is
    stored, and they may send the same again. Any thread may call.

    :param url: ``sqlite:///path.db`` or ``postgresql://user:password@host/name``.
    :raises StoreError: where the database cannot be used, as all methods do.
    """

    def __init__(self, url: str) -> None:
        self.engine = open_database(url)
        with self.reading() as connection:
            self.worth: dict[str, float] = dict(map(tuple, connection.execute(sa.select(WORTH))))
            """The worth of kinds of feedback, see :meth:`note_worth`."""
            self.goal: list[str] = [*connection.scalars(sa.select(GOAL.c.kind))]
            """The kinds of feedback that are to be brought about; none: every kind."""
        self._left = set[str]()
        self._lock = threading.Lock()
        self._some, self._room = (threading.Condition(self._lock) for _ in range(2))
        self._calls: list[_Call] = []
        self._urgent = self._closed = False
        self._pause = GATHER
        self._lost = ""
        self._writer = threading.Thread(target=self._write, name="store", daemon=True)
        self._writer.start()

    def note_worth(self, worth: Mapping[str, float], goal: Sequence[str] = ()) -> None:
        """Store what kinds of feedback are worth, for whoever opens the database later.

        A kind of which nothing is noted is worth what a log says: -1 where the name says that an
        item was not liked, else 1. What was shown is accepted where its feedback is worth more
        than 0 and, where there is a goal, of the goal.

        :param goal: the kinds that are to be brought about; none: every kind.
        """
        merged = {**self.worth, **worth}
        if merged == self.worth and {*goal} == {*self.goal}:
            return
        with failing(self.engine, "written"), self.engine.begin() as connection:
            connection.exec_driver_sql(WRITING[self.engine.dialect.name])
            connection.execute(WORTH.delete().where(WORTH.c.kind.in_([*worth])))
            connection.execute(GOAL.delete())
            if worth:
                rows = [{"kind": kind, "worth": each} for kind, each in worth.items()]
                connection.execute(WORTH.insert(), rows)
            if goal:
                connection.execute(GOAL.insert(), [{"kind": kind} for kind in goal])
        self.worth, self.goal = merged, [*goal]

    def begin(self, session: Session) -> Session:
        """Begin a session, once.

        :returns: the session as it is stored: where its id is known, the one that began first.
        """
        if (stored := self.session(session.id)) is None:
            self._wait_for({SESSIONS: [vars(session)]})
            stored = self.session(session.id)
            assert stored is not None
        return stored

    def begun(self, session: Session) -> None:
        """Note that a session has begun whose id nobody else can know; written as :meth:`answered`.

        :raises StoreError: where so much waits to be written that there is no room.
        """
        self._call(_Call({SESSIONS: [vars(session)]}), patience=0)

    def session(self, session: str) -> Session | None:
        """Find a session by its id."""
        with self.reading() as connection:
            row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == session)).first()
        return None if row is None else Session(**row._mapping)

    def answered(self, answer: Answer) -> None:
        """Note what was shown; it is written within a moment, and before later feedback.

        What a process that is killed has not yet written is lost. What a database refuses for a
        time is written later.

        :raises StoreError: where so much waits to be written that there is no room.
        """
        row = dict(vars(answer))
        items, propensities = row.pop("items"), row.pop("propensities")
        sets = {each: _as_json(each) for each in row.pop("left")}
        marks = {e: sha256(s.encode()).hexdigest()[:16] if e else "" for e, s in sets.items()}
        more = {"left": [marks[each] for each in answer.left]} if any(answer.left) else {}
        row["request"] = _as_json({**answer.request, **more})
        left = [
            {"mark": mark, "named": sets[each]}
            for each, mark in marks.items()
            if mark and mark not in self._left
        ]
        shown = [
            {"answer": answer.id, "position": place, "item": item, "propensity": p and min(p, 1.0)}
            for place, (item, p) in enumerate(zip(items, propensities, strict=True), start=1)
        ]
        self._call(_Call({ANSWERS: [row], SHOWN: shown, LEFT: left}), patience=0)
        if len(self._left) > MARKS:  # those that come again are written again, and left out
            self._left.clear()
        self._left.update(each["mark"] for each in left)

    def feedback(self, events: Sequence[Feedback]) -> list[bool]:
        """Store events, all or none.

        :returns: for each, False where the session has had an event of this id before, or has it
            twice here; the first one counts.
        """
        return self._wait_for({FEEDBACK: [vars(event) for event in events]}) if events else []

    def flush(self) -> None:
        """Wait until everything that was noted is written."""
        self._wait_for({})

    def happened(
        self, session: str, user: str | None = None, last: int = EVERY
    ) -> tuple[list[tuple[str, str, int]], int]:
        """Feedback of a session and, before it, of its user's other ones that are no trials.

        :param last: number of the newest ones that are wanted of each.
        :returns: items, kinds and times, and how many are of other sessions.
        """
        given = {"session": session, "user": user, "last": last}
        with self.reading() as connection:
            found = connection.execute(HAPPENED, given).all()
        events = [(item, kind, time) for item, kind, time, _ in found]
        return events, sum(row[-1] != session for row in found)

    def count(self) -> int:
        """The number of all events that are stored."""
        with self.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK)) or 0

    def oldest(self, most: int) -> list[Feedback]:
        """The events that came first."""
        columns = [FEEDBACK.c[each.name] for each in fields(Feedback)]
        query = sa.select(*columns).order_by(FEEDBACK.c.number).limit(most)
        with self.reading() as connection:
            return [Feedback(**row._mapping) for row in connection.execute(query)]

    def known_of(self, session: str, user: str | None) -> "KnownOf":
        """What is stored of a session and its user at the moment."""
        with self.reading() as connection:
            row = connection.execute(KNOWN, {"session": session, "user": user}).one()
        return KnownOf(row[0], row[1], row[2], row[3] and json.loads(row[3]))

    def asked(self, session: str) -> dict[str, Any]:
        """The request of a session's last answer that is written; nothing where there is none."""
        wanted = sa.select(ANSWERS.c.request).where(ANSWERS.c.session == session)
        with self.reading() as connection:
            # From the newest on, so that a session that continues is soon there.
            row = connection.execute(wanted.order_by(ANSWERS.c.number.desc()).limit(1)).scalar()
        request: dict[str, Any] = json.loads(row or "{}")
        return request

    def shown(self, session: str, answer: str | None = None) -> set[str]:
        """The items that an answer of a session has shown, or all of them have."""
        where = [ANSWERS.c.session == session] + [SHOWN.c.answer == answer] * (answer is not None)
        query = sa.select(SHOWN.c.item).join(ANSWERS, SHOWN.c.answer == ANSWERS.c.id).where(*where)
        with self.reading() as connection:
            return {*connection.scalars(query)}

    def put_users(self, profiles: Mapping[str, Mapping[str, Any]]) -> None:
        """Store people's attributes, in place of earlier ones."""
        rows = [{"user": user, "profile": _as_json(row)} for user, row in profiles.items()]
        self._wait_for({USERS: rows})

    def change_items(self, rows: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Store items that were put while serving, each in the place of an earlier one of its id.

        :param rows: of the catalog, by their ids, as JSON can hold them; None where an item was
            deleted.
        :raises DataError: where an id is none.
        """
        for number, item in enumerate(rows, start=1):
            if not storable(item):
                raise DataError(
                    f"The id of item {number} of {len(rows)}, as '{Column.ITEM}', is {item!r:.60};"
                    f" expected is text of 1 to {LONGEST} bytes without NUL."
                )
        changes = [
            {"item": item, "row": None if row is None else _as_json(row)}
            for item, row in rows.items()
        ]
        self._wait_for({ITEMS: changes})

    def newest(self) -> int:
        """The number of the last change of an item; 0 where there is none."""
        with self.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(ITEMS.c.number))) or 0

    def items(self, after: int = 0, most: int | None = None) -> list[ItemChange]:
        """The last change of each item that was put or deleted, the oldest first, ``most`` at most.

        :param after: only changes with larger numbers: those that other processes have made since.
        """
        query = sa.select(ITEMS).where(ITEMS.c.number > after).order_by(ITEMS.c.number).limit(most)
        with self.reading() as connection:
            return [
                ItemChange(number, item, None if row is None else json.loads(row))
                for number, item, row in connection.execute(query)
            ]

    def close(self) -> None:
        """Write what waits, and close the database; a closed store refuses everything else.

        :raises StoreError: where something could not be written.
        """
        with self._lock:
            self._closed = True
            self._some.notify()
            self._room.notify_all()
        self._writer.join()
        self.engine.dispose()
        lost, self._lost = self._lost, ""
        if lost:
            raise StoreError(lost)

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection to read by, all of it at one moment."""
        with failing(self.engine, "read"), self.engine.connect() as connection:
            connection.exec_driver_sql(READING[self.engine.dialect.name])
            yield connection

    def _wait_for(self, rows: _Rows) -> list[bool]:
        """Hand rows to the writer, and wait for the commit."""
        done: Future[list[bool]] = Future()
        self._call(_Call(rows, done))
        while True:
            try:
                return done.result(timeout=PATIENCE)
            except NotYet:
                if not self._writer.is_alive():  # as in a process that was forked
                    raise StoreError("The store's writer has ended: open it again.") from None

    def _call(self, call: _Call, patience: float = PATIENCE) -> None:
        with self._lock:
            room = self._room.wait_for(
                lambda: self._closed or len(self._calls) < WAITING, timeout=patience
            )
            if self._closed:
                raise StoreError(f"The store {name_of(self.engine)} is closed: open it again.")
            if not room:
                raise StoreError(
                    f"{len(self._calls):,} calls wait to be written to {name_of(self.engine)}, "
                    "which does not keep up: look at its disk, or send less at a time."
                )
            self._calls.append(call)
            self._urgent |= call.done is not None
            self._some.notify()

    def _write(self) -> None:
        """Write groups of calls until the store is closed and nothing waits."""
        while calls := self._take():
            try:
                with self.engine.begin() as connection:
                    connection.exec_driver_sql(WRITING[self.engine.dialect.name])
                    fresh = _insert(connection, calls)
            except BaseException as error:  # whatever it is, nobody may wait for ever
                self._failed(calls, error)
            else:
                self._pause = GATHER
                for call in calls:
                    keys = [(each["session"], each["id"]) for each in call.rows.get(FEEDBACK, ())]
                    if call.done is not None:  # each event is new once
                        call.done.set_result([fresh.pop(key, False) for key in keys])

    def _take(self) -> list[_Call]:
        with self._lock:
            self._some.wait_for(lambda: self._closed or self._calls)
            self._some.wait_for(lambda: self._closed or self._urgent, timeout=self._pause)
            calls, self._calls, self._urgent = self._calls, [], False
            self._room.notify_all()
            return calls

    def _failed(self, calls: Sequence[_Call], error: BaseException) -> None:
        """Tell those who wait; the answers, for which nobody does, are tried again."""
        why = in_words(self.engine, "written", error)
        left = [call for call in calls if call.done is None]
        if left and self._closed:
            self._lost = f"{why} Answers that are lost: {len(left):,}."
        elif left:
            logging.getLogger("lightrec.serve").warning("%s It is tried again.", why)
            with self._lock:
                self._calls[:0] = left
                self._pause = AGAIN
        for call in calls:
            if call.done is not None:
                refusal = StoreError(why)
                refusal.__cause__ = error
                call.done.set_exception(refusal)


class KnownOf(NamedTuple):
    """What is stored of a session at a moment."""

    there: bool
    events: bool
    """Whether there may be some of it, or of its user."""
    answer: str | None
    """The id of its last answer that is written."""
    profile: dict[str, Any] | None
    """Its user's attributes that were put."""


# Statements take long to be made, and are the same each time.


def _happened() -> sa.Select[Any]:
    of, parts = FEEDBACK.c, []
    columns = of.item, of.kind, of.time, of.session, of.number
    for place, condition in enumerate((of.session == SESSION, of.user == USER)):
        newest = sa.select(*columns).where(condition).order_by(of.number.desc()).limit(LAST)
        each = newest.subquery().c  # first, so that no more rows than these are looked at
        trial = sa.exists().where(SESSIONS.c.id == each.session, SESSIONS.c.trial)
        others = sa.and_(each.session != SESSION, ~trial)
        parts.append(sa.select(*each).where(others if place else sa.true()))
    every = sa.union_all(*parts).subquery().c
    own_last = every.session == SESSION, every.time, every.number
    return sa.select(every.item, every.kind, every.time, every.session).order_by(*own_last)


HAPPENED: Final = _happened()
_LAST: Final = sa.select(ANSWERS.c.id).where(ANSWERS.c.session == SESSION)
KNOWN: Final = sa.select(
    sa.exists().where(SESSIONS.c.id == SESSION),
    sa.exists().where(sa.or_(FEEDBACK.c.session == SESSION, FEEDBACK.c.user == USER)),
    _LAST.order_by(ANSWERS.c.number.desc()).limit(1).scalar_subquery(),
    sa.select(USERS.c.profile).where(USERS.c.user == USER).scalar_subquery(),
)


def _insert(connection: sa.Connection, calls: Sequence[_Call]) -> dict[tuple[str, str], bool]:
    """Insert all rows of calls; True by the sessions and ids of the events that were new."""

    def rows(table: sa.Table) -> list[Mapping[str, Any]]:
        return [row for call in calls for row in call.rows.get(table, ())]

    for table in (SESSIONS, ANSWERS, SHOWN, LEFT):
        if some := rows(table):
            connection.execute(inserting(connection.engine, table), some)
    changes: dict[str, Mapping[str, Any]] = {}
    for row in rows(ITEMS):
        changes.pop(row["item"], None)  # the last change is the newest
        changes[row["item"]] = row
    people = {row["user"]: row for row in rows(USERS)}
    for table, key, anew in ((ITEMS, ITEMS.c.item, changes), (USERS, USERS.c.user, people)):
        if anew:
            gone = table.delete().where(key == sa.bindparam("of"))
            connection.execute(gone, [{"of": each} for each in anew])
            connection.execute(table.insert(), [*anew.values()])
    if not (events := rows(FEEDBACK)):
        return {}
    new = inserting(connection.engine, FEEDBACK).returning(FEEDBACK.c.session, FEEDBACK.c.id)
    return {(session, id): True for session, id in connection.execute(new, events)}


def _as_json(row: Mapping[str, Any]) -> str:
    """Write a row as JSON; done before it waits with others.

    :raises DataError: where JSON cannot hold it.
    """
    try:
        return json.dumps(row, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{row!r:.200} cannot be stored as JSON ({error}).") from None
