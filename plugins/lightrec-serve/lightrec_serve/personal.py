"""What is stored of a person, and how it is erased."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lightrec_serve.store import Store
from lightrec_serve.tables import ANSWERS, FEEDBACK, SESSIONS, SHOWN, USERS, WRITING, failing

Conditions = Mapping[sa.Table, sa.ColumnElement[bool]]
"""Rows of tables, in an order in which they can be erased."""


def person(store: Store, user: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a person, by the tables' names; places of answers with their answers' ids."""
    store.flush()
    with store.reading() as connection:
        return {
            table.name.removeprefix("serve_"): [
                dict(row._mapping) for row in connection.execute(sa.select(table).where(condition))
            ]
            for table, condition in of_person(user).items()
        }


def of_person(user: str) -> Conditions:
    """The rows of a person."""
    sessions = sa.select(SESSIONS.c.id).where(SESSIONS.c.user == user)
    theirs = {
        table: sa.or_(table.c.user == user, table.c.session.in_(sessions))
        for table in (ANSWERS, FEEDBACK)
    }
    shown = SHOWN.c.answer.in_(sa.select(ANSWERS.c.id).where(theirs[ANSWERS]))
    whole = {SESSIONS: SESSIONS.c.user == user, USERS: USERS.c.user == user}
    return {SHOWN: shown, **theirs, **whole}


def before(time: int) -> Conditions:
    """The rows that are older than a time; of sessions, those of which nothing newer is left.

    Attributes of people have no time, and stay.
    """
    old = sa.select(ANSWERS.c.id).where(ANSWERS.c.time < time)
    later = sa.union(sa.select(ANSWERS.c.session), sa.select(FEEDBACK.c.session))
    return {
        SHOWN: SHOWN.c.answer.in_(old),
        ANSWERS: ANSWERS.c.time < time,
        FEEDBACK: FEEDBACK.c.time < time,
        SESSIONS: sa.and_(SESSIONS.c.began < time, SESSIONS.c.id.not_in(later)),
    }


def events(session: str, ids: Sequence[str], whole: bool = False) -> Conditions:
    """Events of a session, by their ids.

    :param whole: whether the session goes, too, where nothing of it is left.
    """
    theirs = {FEEDBACK: sa.and_(FEEDBACK.c.session == session, FEEDBACK.c.id.in_(ids))}
    empty = SESSIONS.c.id.not_in(sa.select(FEEDBACK.c.session))
    return theirs | ({SESSIONS: sa.and_(SESSIONS.c.id == session, empty)} if whole else {})


def erase(store: Store, conditions: Conditions) -> dict[str, int]:
    """Erase rows; how many went, by the tables' names.

    What was copied from the database, such as backups and exported files, is not touched.
    """
    store.flush()
    engine, lite = store.engine, store.engine.dialect.name == "sqlite"
    with failing(engine, "written"), engine.begin() as connection:
        connection.exec_driver_sql(WRITING[engine.dialect.name])
        if lite:  # what was there is written over
            connection.exec_driver_sql("PRAGMA secure_delete = ON")
        counts = {
            table.name.removeprefix("serve_"): connection.execute(
                table.delete().where(condition)
            ).rowcount
            for table, condition in conditions.items()
        }
    if lite:
        with failing(engine, "written"), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return counts
