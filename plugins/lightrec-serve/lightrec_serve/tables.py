"""Content of the store: rows as Python sees them, their tables, and how a database is opened.

What writes them is in :mod:`lightrec_serve.store`, what reads them as a whole in
:mod:`lightrec_serve.records`.
"""

import math
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lightrec.api import DataError
from lightrec.data.files import without_password
from lightrec.errors import LightrecError

DAY: Final = 86_400_000
"""Milliseconds."""
FORMAT_VERSION: Final = 3
"""Version of the tables; a database of a newer one is refused."""
LONGEST: Final = 1000
"""Bytes of an id, a user or a kind: PostgreSQL indexes no more than two such together."""
OUTSIDE: Final = "@"
"""Begin of the name of the session that holds a person's events outside all sessions."""
LATEST: Final = 253_402_300_800_000
"""The first millisecond of the year 10000, which no calendar here knows."""
PATIENCE: Final = 30.0
"""Seconds for which a writer waits for another one, or for room in the queue."""
WRITING: Final = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(7241)"}
"""Begin of each transaction that writes. One writes at a time, also of several processes:
none waits for rows of another one that waits for its own, and numbers follow the commits."""
READING: Final = {
    "sqlite": "BEGIN",
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
}
"""Begin of each transaction that reads: all its queries see the same moment."""


class StoreError(LightrecError):
    """The store cannot be opened, read or written."""


def _refuse(row: object, name: str, value: object, expected: str) -> None:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
    raise DataError(f"The {name} of a {type(row).__name__} is {shown}; expected is {expected}.")


def _check(row: Any) -> None:
    """Refuse texts and times that a database would: one bad row would fail a group of them."""
    for each in fields(row):
        value, optional = getattr(row, each.name), each.type == str | None
        if each.type in (str, str | None) and not (storable(value) or (optional and value is None)):
            _refuse(row, each.name, value, f"text of 1 to {LONGEST} bytes in UTF-8 without NUL")
        if each.type is int and (type(value) is not int or not 0 <= value < LATEST):
            _refuse(row, each.name, value, "a whole number of milliseconds since 1970 UTC")


def storable(text: object) -> bool:
    """Whether a database can hold something as an id."""
    if not isinstance(text, str):
        return False
    try:
        return 0 < len(text.encode()) <= LONGEST and "\0" not in text
    except UnicodeEncodeError:
        return False


def _check_number(row: object, name: str, low: float, high: float, expected: str) -> None:
    value = getattr(row, name)
    number = isinstance(value, int | float) and math.isfinite(value)
    if value is not None and not (number and low <= value <= high):
        _refuse(row, name, value, expected)


@dataclass(frozen=True)
class Session:
    """A visit.

    :param arm: what answers it, such as a run's name.
    :param began: in milliseconds since 1970 UTC, as all times here.
    :param trial: whether somebody only tried the service: its events are of no log and no number
        but those of trials.
    :raises DataError: where a value cannot be stored, as for all rows here.
    """

    id: str
    user: str | None
    arm: str
    began: int
    trial: bool = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Answer:
    """A slate that was shown: K items in their order.

    :param propensities: K probabilities with which each item stood at its place, 1 where nothing
        was left to chance; None where that is not known.
    :param log_prob: the natural logarithm of the probability of the whole slate in its order.
    :param ranked_by: what put the items in order, such as ``blend`` or ``policy``.
    :param request: what was asked, as JSON can hold it, and as ``rules`` what names the standing
        rules, ``mark``, and the items that they ``pinned``.
    :param latency_ms: how long it took.
    :param left: the items that could come at each of the K places, what came at earlier ones
        included; none at a place where that is not known or all could. Empty for all.
    """

    id: str
    session: str
    user: str | None
    arm: str
    time: int
    items: tuple[str, ...]
    propensities: tuple[float | None, ...]
    log_prob: float | None
    ranked_by: str
    request: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: float | None = None
    left: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        _check_number(self, "log_prob", -math.inf, 1e-6, "a finite logarithm of a probability")
        _check_number(self, "latency_ms", 0, math.inf, "a number of milliseconds")
        if len(self.propensities) != len(self.items):
            _refuse(self, "propensities", self.propensities, f"one for each of {self.items}")
        for item in self.items:
            if not storable(item):
                _refuse(self, "items", item, "ids of items")
        if len({*self.items}) < len(self.items):
            _refuse(self, "items", self.items, "each item once")
        for each in self.propensities:
            # Sums of float32 may end a little above 1.
            if each is not None and not 0 < each <= 1 + 1e-6:
                _refuse(self, "propensities", each, "a probability above 0 and up to 1")


@dataclass(frozen=True)
class Feedback:
    """An event: somebody did something with an item.

    :param id: chosen by the client, once for each event of a session: what it sends again under
        the same id counts once.
    :param answer: the id of the answer that showed the item, if one did.
    :param kind: such as ``accepted`` or ``dismissed``, or a kind of the domain.
    :param value: such as a rating or seconds; None where the kind says all.
    """

    id: str
    session: str
    answer: str | None
    user: str | None
    item: str
    kind: str
    value: float | None
    time: int

    def __post_init__(self) -> None:
        _check(self)
        _check_number(self, "value", -1e30, 1e30, "a number between -1e30 and 1e30")


@dataclass(frozen=True)
class ItemChange:
    """An item that was put or deleted while serving.

    :param number: grows with each change.
    :param row: the item's row of the catalog, with its id as ``item``; None where it was deleted.
    """

    number: int
    item: str
    row: Mapping[str, Any] | None


METADATA: Final = sa.MetaData()
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(
    name: str, *columns: sa.Column[Any] | sa.Constraint | sa.Index, **options: Any
) -> sa.Table:
    return sa.Table(f"serve_{name}", METADATA, *columns, **options)


def _text(name: str, nullable: bool = False, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable, **options)


def _counted() -> sa.Column[int]:
    return sa.Column("number", _NUMBER, primary_key=True, autoincrement=True)


def _time(name: str = "time") -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


ABOUT: Final = _table("about", sa.Column("version", sa.Integer, primary_key=True))
SESSIONS: Final = _table(
    "sessions",
    _text("id", primary_key=True),
    _text("user", True),
    _text("arm"),
    _time("began"),
    sa.Column("trial", sa.Boolean, nullable=False, server_default=sa.false()),
)
TRIALS: Final = sa.select(SESSIONS.c.id).where(SESSIONS.c.trial)
"""The sessions of those who only tried the service."""
ANSWERS: Final = _table(
    "answers",
    _counted(),
    _text("id", unique=True),
    _text("session"),
    _text("user", True),
    _text("arm"),
    _time(),
    sa.Column("log_prob", sa.Double),
    _text("ranked_by"),
    _text("request"),
    sa.Column("latency_ms", sa.Double),
    sa.Index("serve_answers_time", "time"),
    sa.Index("serve_answers_session", "session", "number"),
)
SHOWN: Final = _table(
    "shown",
    _text("answer", primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # from 1
    _text("item"),
    sa.Column("propensity", sa.Double),
    sqlite_with_rowid=False,
)
LEFT: Final = _table("left", _text("mark", primary_key=True), _text("named"))
"""Sets of items that could come, each stored once; requests have their marks, place by place."""
FEEDBACK: Final = _table(
    "feedback",
    _counted(),
    _text("id"),
    _text("session"),
    _text("answer", True),
    _text("user", True),
    _text("item"),
    _text("kind"),
    sa.Column("value", sa.Double),
    _time(),
    sa.UniqueConstraint("session", "id"),
    sa.Index("serve_feedback_time", "time"),
    sa.Index("serve_feedback_of_session", "session", "number"),
    sa.Index("serve_feedback_of_user", "user", "number"),
    sa.Index("serve_feedback_answer", "answer", "item"),
    sqlite_autoincrement=True,
)
USERS: Final = _table("users", _text("user", primary_key=True), _text("profile"))
"""Attributes, as JSON, of people whom the runs' logs do not have."""
WORTH: Final = _table(
    "worth", _text("kind", primary_key=True), sa.Column("worth", sa.Double, nullable=False)
)
GOAL: Final = _table("goal", _text("kind", primary_key=True))
ITEMS: Final = _table(
    "items",
    _counted(),
    _text("item", unique=True),
    _text("row", True),
    sqlite_autoincrement=True,  # a number is never used again, also where the last row went
)


def inserting(engine: sa.Engine, table: sa.Table) -> Any:
    """An insertion that leaves out the rows that a table has already."""
    dialect: Any = sqlite if engine.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).on_conflict_do_nothing()


def open_database(url: str) -> sa.Engine:
    """Open a database, and make the tables where it has none.

    :param url: ``sqlite:///path.db`` or ``postgresql://user:password@host/name``.
    :raises StoreError: where that cannot be done.
    """
    engine = _engine(url)
    try:
        with failing(engine, "opened"), engine.begin() as connection:
            connection.exec_driver_sql(WRITING[engine.dialect.name])
            _check_durable(connection)
            METADATA.create_all(connection)
            version = connection.scalar(sa.select(ABOUT.c.version))
            if version is not None and version > FORMAT_VERSION:
                raise StoreError(
                    f"{name_of(engine)} has tables of version {version}, made by a newer "
                    f"lightrec-serve; this one knows versions up to {FORMAT_VERSION}. Update "
                    "lightrec-serve, or name another database."
                )
            if version is not None:
                _update(connection, version)
            # Written each time, so that who may not write learns it here.
            noted = ABOUT.insert() if version is None else ABOUT.update()
            connection.execute(noted.values(version=FORMAT_VERSION))
    except BaseException:
        engine.dispose()
        raise
    return engine


def _update(connection: sa.Connection, version: int) -> None:
    """Bring the tables of an older version to this one."""
    if version < 2:
        trial = "ALTER TABLE serve_sessions ADD COLUMN trial BOOLEAN DEFAULT FALSE NOT NULL"
        connection.execute(sa.DDL(trial))
    for index in ANSWERS.indexes | FEEDBACK.indexes if version < 3 else ():
        index.create(connection, checkfirst=True)


def _engine(url: str) -> sa.Engine:
    shown = without_password(url)
    try:
        parsed = sa.make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in WRITING:
            raise ArgumentError
        if parsed.get_backend_name() == "postgresql":
            wait = {} if "connect_timeout" in parsed.query else {"connect_timeout": 10}
            return sa.create_engine(parsed, connect_args=wait, pool_pre_ping=True)
        if parsed.database in (None, "", ":memory:"):
            raise StoreError(
                f"{shown} is a database in memory, which keeps nothing: name a file, as in "
                "sqlite:///serve.db."
            )
        # Transactions are begun by this module, and not by the driver.
        options = {"timeout": PATIENCE, "isolation_level": None}
        engine = sa.create_engine(parsed, connect_args=options)
        sa.event.listen(engine, "connect", _make_durable)
        return engine
    except ImportError:
        raise StoreError(
            "A store in PostgreSQL needs psycopg: pip install 'lightrec-serve[postgresql]'."
        ) from None
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise StoreError(
            f"{shown} is no address of a store; expected is sqlite:///path.db or "
            "postgresql://user:password@host/name."
        ) from None


def _make_durable(connection: sqlite3.Connection, _: object) -> None:
    """Have commits of SQLite wait for the disk, and readers not wait for the writer."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Where several open a new file at once, SQLite does not wait by itself.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _check_durable(connection: sa.Connection) -> None:
    """Refuse a database that acknowledges what it may lose."""
    if connection.dialect.name == "sqlite":
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        if mode != "wal":
            raise StoreError(
                f"{name_of(connection.engine)} cannot keep a write-ahead log (its journal is "
                f"{mode!r}), as on some network drives: name a file on a disk of this machine."
            )
        return
    for name in ("fsync", "synchronous_commit"):
        if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off":
            raise StoreError(
                f"{name_of(connection.engine)} acknowledges what it may lose ({name} is off): "
                f"set {name} to on for this database."
            )


def name_of(engine: sa.Engine) -> str:
    """Name a database without its password."""
    return without_password(engine.url.render_as_string(hide_password=False))


@contextmanager
def failing(engine: sa.Engine, done: str) -> Iterator[None]:
    """Raise what a database has refused.

    :param done: what was to be done with it, such as ``read``.
    :raises StoreError: in place of the database's errors.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(in_words(engine, done, error)) from error


_ADVICE: Final = (
    (r"unable to open", "Look whether its folder exists and may be written to."),
    (r"readonly|read-only", "Give this user the right to write to the file and its folder."),
    (r"not a database", "The file is something else: name another one."),
    (r"locked", "Another process writes for long: look what has the file open."),
    (r"full|No space", "Make room on the disk."),
    (r"password|authentication|no pg_hba", "Look at the user and the password of the address."),
    (r"permission denied", "Give this user the right to make tables in this database."),
    (r"database .* does not exist", "Make it with `createdb`, or name another one."),
    (r"role .* does not exist", "Make the user with `createuser`, or name another one."),
    (
        r"refused|could not translate|resolve|timeout|timed out|No such file|terminat|closed",
        "Look whether the server runs, and at the host and the port of the address.",
    ),
)
"""Advice, by what a database says."""


def in_words(engine: sa.Engine, done: str, error: BaseException) -> str:
    """A sentence on what a database has refused, why, and what to do, without a password."""
    lines = str(getattr(error, "orig", None) or error).splitlines() or ["no reason given"]
    url = engine.url.render_as_string(hide_password=False)
    reason = without_password(lines[0].strip().rstrip(".:"), url)
    fitting = (advice for pattern, advice in _ADVICE if re.search(pattern, reason, re.IGNORECASE))
    advice = next(fitting, "Look at the database.")
    return f"{name_of(engine)} cannot be {done} ({reason}). {advice}"
