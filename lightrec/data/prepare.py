"""Preparation of a log and its tables: filter, sort, split, and write the store."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lightrec import plugins
from lightrec.blame import provider
from lightrec.data.catalog import Catalog, Users
from lightrec.data.domain import Domain, with_texts
from lightrec.data.events import Events, drop, drop_rare, encode, number, split_up
from lightrec.data.files import FORMAT_VERSION, appearing
from lightrec.data.findings import LEFT_OUT, LOGS_KIND, NO_ITEMS, in_words, order_note, tally
from lightrec.data.languages import languages_of, wording
from lightrec.data.log import InteractionLog
from lightrec.data.pairs import day_note, leading, milliseconds, visited, worths
from lightrec.data.schema import Problems
from lightrec.data.store import CATALOG, LOG, META, PARTS, TRAIN, UNCHANGED, USERS, EventStore
from lightrec.data.times import PART
from lightrec.errors import DataError, no_such
from lightrec.keys import Column


def prepare(
    log: InteractionLog,
    out: Path | str,
    *,
    catalog: Catalog | None = None,
    users: Users | None = None,
    domain: Domain,
    minimum_value: float | None = None,
    goal: Sequence[str] = (),
    hide_visit: bool = True,
    visit: str | None = None,
    weights: Mapping[str, float] | None = None,
    repeats: bool | None = None,
    k_core: int = 5,
    split: Literal["leave-one-out", "global-time", "item-cold"] = "leave-one-out",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    cold_fraction: float = 0.1,
    new_items: bool = False,
    equal_times: Literal["file", "shuffle"] = "file",
    languages: dict[str, float] | None = None,
    seed: int,
    also: pl.Series | None = None,
    appended: Mapping[str, Mapping[str, int]] | None = None,
) -> EventStore:
    """Filter, sort and split a log and write its store; the data reference describes the steps.

    Returns at once if ``out`` already holds the result of the same input and settings. The folder
    appears by one rename.

    :param out: the folder to write; replaced if it holds a prepared log.
    :param catalog: the items' texts and attributes; an item without a row gets an empty text.
    :param users: the users' attributes.
    :param domain: describes items and says whether they repeat in a history.
    :param minimum_value: events of a lower strength are dropped; the strength is the value (else
        the count, else 1) times the weight of the feedback.
    :param goal: the kinds of feedback that are to be brought about, such as purchases: they alone
        are held out, and only they make an item seen. None: every kind.
    :param hide_visit: whether to leave out of histories, in a log with a goal, what only led to an
        event of it: the same visit's earlier events about its item, such as views and the basket.
    :param visit: how long before an event of the goal others about its item are of the same visit,
        such as ``24h`` (or ``90m``, ``2d``); None: those of its session, see
        :mod:`lightrec.data.pairs`.
    :param weights: worth of each feedback; events of worth 0 and of feedback without a worth are
        dropped, and those of negative worth are no targets. None: see
        :func:`lightrec.data.pairs.worths`.
    :param repeats: whether an item may come again to a user; None: as the domain says.
    :param k_core: the least number of events of every user and every item; 0 for no limit.
    :param split: see :mod:`lightrec.data.events`.
    :param validation_fraction: of the log's time; for ``global-time`` only.
    :param test_fraction: of the log's time; for ``global-time`` only.
    :param cold_fraction: of the items, held out; for ``item-cold`` only.
    :param new_items: whether to include items of the catalog of which no event is left.
    :param equal_times: order of a user's events with equal times: that of the ``file``, or drawn
        from ``seed`` (``shuffle``). Without times, all times are equal.
    :param languages: shares of the items' texts by ISO 639-1 code, such as ``{de: 1}``; null: they
        are recognised.
    :param also: ids of items that are included as those of ``new_items`` are.
    :param appended: what was appended to the log, piece by piece, each with how many of the log's
        last rows are its ``new`` ones; ``meta.json`` says what became of these.
    :raises DataError: if the log does not allow these settings, or no event is left.
    """
    out = Path(out)
    kinds = log.events[Column.FEEDBACK].unique().sort().to_list()
    repeats = domain.repeats if repeats is None else repeats
    weights = worths(log, domain, goal) if weights is None else weights
    settings: dict[str, Any] = {
        "minimum_value": minimum_value,
        "goal": [*goal],
        "weights": None if weights is None else dict(weights),
        "k_core": k_core,
        "split": split,
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "cold_fraction": cold_fraction,
        "new_items": new_items,
        "equal_times": equal_times,
        "seed": seed,
        "domain": domain.name,
        "repeats": repeats,
    }
    if goal:
        settings |= {"hide_visit": hide_visit} | ({"visit": visit} if visit else {})
    worded = NO_ITEMS if catalog is None else with_texts(domain, catalog.rows)
    known_users = None if users is None else users.rows
    tables = {"log": log.events, "catalog": worded if catalog else None, "users": known_users}
    kinds_of = {
        "item_kinds": {} if catalog is None else catalog.kinds,
        "user_kinds": {} if users is None else users.kinds,
    }
    format_ = {"format": FORMAT_VERSION, "restricts": domain.restricts}
    stated = {} if languages is None else {"languages": languages}
    tables["also"] = None if also is None else also.to_frame()
    mark = fingerprint(tables, settings | format_ | kinds_of | stated)
    with suppress(DataError, OSError, ValueError, KeyError):
        if (made := EventStore(out)).meta["fingerprint"] == mark:
            return made
    _check(log, kinds, settings)
    events = encode(log, weights, goal)
    drop(
        events,
        repeats=repeats,
        minimum_value=minimum_value,
        shuffle_seed=seed if equal_times == "shuffle" else None,
    )
    drop_rare(events, k_core)
    if not events.reaches.any():
        raise _nothing_left(events, settings)
    arrays, item_ids, user_ids = number(events)
    hides = goal and hide_visit and not events.reaches.all()
    visits = visited(events, arrays, visit) if hides else None
    if visits is not None:
        arrays["leads"] = leading(visits, events.reaches)
    arrays["parts"] = parts = split_up(events, arrays, settings, visits)
    arrays["targets"] = events.is_target
    feedback, chosen_kinds = events.feedback_kinds()
    if len(chosen_kinds) > 1:
        arrays["feedback"] = feedback
    if new_items or also is not None:
        fresh = worded[Column.ITEM].filter(~worded[Column.ITEM].is_in(item_ids.implode()))
        if not new_items and also is not None:
            fresh = fresh.filter(fresh.is_in(also.implode()))
        arrays["items"][arrays["items"] > len(item_ids)] += len(fresh)
        item_ids = item_ids.append(fresh)
    own_texts = 0
    if catalog is not None and type(domain).text is not Domain.text:
        with_text = catalog.rows.filter(pl.col(Column.TEXT).fill_null("") != "")[Column.ITEM]
        own_texts = int(item_ids.is_in(with_text.implode()).sum())
    begins = arrays["offsets"][:-1]  # of each user, who has an event
    counts = {
        "events_read": len(log),
        "events": len(parts),
        **tally(events, item_ids, user_ids, worded, users),
        **{name: int((parts == part).sum()) for name, part in PARTS.items()},
        **({"leads": int(arrays["leads"].sum())} if hides else {}),
        "users_with_goal": int(np.logical_or.reduceat(events.reaches, begins).sum()),
        "users_without_train": int((~np.logical_or.reduceat(parts == TRAIN, begins)).sum()),
        "items_with_own_text": own_texts,
    }
    used = np.bincount(events.feedback, minlength=len(events.feedback_words))
    note = "" if equal_times == "shuffle" else order_note(events)
    _warn(counts, domain, [note, day_note(events, arrays) if hides else ""])
    meta = {
        "version": FORMAT_VERSION,
        "fingerprint": mark,
        "settings": settings,
        "restricts": domain.restricts,
        **kinds_of,
        "has_nothing": bool((arrays["items"] > len(item_ids)).any()),
        "has_users": log.has(Column.USER),
        "order": "time" if log.has(Column.TIME) else "file",
        "order_note": note,
        "feedback": chosen_kinds if len(chosen_kinds) > 1 else [],
        "left_out": events.left_out,
        "used": dict(zip(events.feedback_words, used.tolist(), strict=True)),
        "appended": _fates(events, appended or {}),
        "counts": counts,
        "languages": languages_of(wording(worded)) if languages is None else languages,
    }
    unchanged = [name for name in UNCHANGED if log.has(name)]
    words = pl.Enum(events.feedback_words)
    written = {
        CATALOG: _joined(item_ids.alias(Column.ITEM), worded).with_columns(
            pl.col(Column.TEXT).fill_null("")
        ),
        USERS: _joined(user_ids.alias(Column.USER), known_users),
        LOG: log.events.select(unchanged)[events.rows].cast({Column.FEEDBACK: words}),
    }
    _write(out, arrays, written, meta)
    return EventStore(out)


def _fates(events: Events, appended: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Count what became of the new rows of each piece, which are the log's last ones."""
    names = ["events", *events.fates]
    fate = np.zeros(len(events.log), np.int8)
    for code, rows in enumerate(events.fates.values(), start=1):
        fate[rows] = code
    begin, fates = len(events.log) - sum(each.get("new", 0) for each in appended.values()), {}
    for piece, each in appended.items():
        end = begin + each.get("new", 0)
        counts = np.bincount(fate[begin:end], minlength=len(names)).tolist()
        fates[piece] = {**each, **dict(zip(names, counts, strict=True))}
        begin = end
    return fates


def _nothing_left(events: Events, settings: Mapping[str, Any]) -> DataError:
    counts = {why: len(rows) for why, rows in events.fates.items()}
    lost = in_words(counts, LEFT_OUT, events.left_out)
    left_out = "; ".join(f"{count:,} {words}" for count, words in lost)
    advice = {
        "dropped_without_weight": "Give a weight above 0 to a kind of feedback that the log has.",
        "dropped_below_minimum": f"Lower minimum_value ({settings['minimum_value']}).",
        "dropped_k_core": f"Lower k_core ({settings['k_core']}).",
    }
    ways = [way for why, way in advice.items() if counts.get(why)] or ["Give a log with events."]
    what = f"No {' or '.join(events.goal)}" if len(events.users) else "Nothing"
    first = f"{what} is left of the log's {len(events.log)} events. Left out: {left_out}."
    return DataError(" ".join([first, *ways]))


def _warn(counts: Mapping[str, int], domain: Domain, notes: Sequence[str]) -> None:
    for note in filter(None, notes):
        plugins.warn(note)
    if made_up := counts["users_made_up"]:
        plugins.warn(
            f"The log names no users: {made_up:,} are invented, one per session, impression or "
            "row. If a column names the users, give it in the setting columns."
        )
    if own_texts := counts["items_with_own_text"]:
        plugins.warn(
            f"The item table's own texts are used for {own_texts:,} of {counts['items']:,} items; "
            f"the words of {provider(domain)} for the rest. Leave the table's column "
            f"`{Column.TEXT}` out to have them for all."
        )


def _check(log: InteractionLog, kinds: Sequence[str], settings: Mapping[str, Any]) -> None:
    problems = Problems()
    if settings["split"] == "global-time" and not log.has(Column.TIME):
        problems.add(
            f"The split 'global-time' needs times, and the log has none; name the column as "
            f"'{Column.TIME}' or use the split 'leave-one-out', which then goes by file order."
        )
    if "visit" in settings:
        with problems.taking():
            milliseconds(settings["visit"])
        if not log.has(Column.TIME):
            problems.add("A length of visits needs times, and the log has none: leave visit out.")
    fractions = settings["validation_fraction"], settings["test_fraction"]
    if min(fractions) < 0 or sum(fractions) >= 1:
        problems.add(
            f"validation_fraction {fractions[0]} and test_fraction {fractions[1]} must be 0 or "
            "more and leave some time to train on."
        )
    if not 0 < settings["cold_fraction"] < 1:
        problems.add(
            f"cold_fraction {settings['cold_fraction']} must be a share of the items, above 0 and "
            "below 1."
        )
    for name, weight in (settings["weights"] or {}).items():
        if name not in kinds:
            problems.add(f"weights: {no_such(LOGS_KIND, name, kinds)}")
        if not math.isfinite(weight):
            problems.add(
                f"The weight of {name!r} is {weight}; a weight is a finite number, and events of "
                "weight 0 are left out."
            )
    worth = settings["weights"] or dict.fromkeys(kinds, 1.0)
    for name in settings["goal"]:
        if name not in kinds:
            problems.add(f"goal: {no_such(LOGS_KIND, name, kinds)}")
        elif not worth.get(name, 0) > 0:
            problems.add(
                f"The goal {name!r} has the worth {worth.get(name, 0):g} in weights; what is to be "
                "brought about is worth more than 0."
            )
    problems.check()


def _joined(ids: pl.Series, table: pl.DataFrame | None) -> pl.DataFrame:
    """Bring a table into the order of ids; an id without a row has nulls."""
    table = ids.to_frame() if table is None else table
    return ids.to_frame().join(table, on=ids.name, how="left", maintain_order="left")


def _write(
    out: Path, arrays: dict[str, NDArray[Any]], tables: dict[str, pl.DataFrame], meta: object
) -> None:
    """Write next to ``out`` and rename, so that a store is either complete or absent."""
    if out.exists() and not (out / META).exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is no prepared log; choose another folder.")
    with appearing(out, replaces=True) as part:
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        for name, table in tables.items():
            # Of the tables only the events may be so many that decoding them would take long.
            (table.write_ipc if name == LOG else table.write_parquet)(part / name)
        (part / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def fingerprint(tables: Mapping[str, pl.DataFrame | None], settings: Mapping[str, object]) -> str:
    """Hash tables and settings together; another version of polars may give another hash.

    :param settings: anything that JSON can hold.
    :returns: 32 hexadecimal digits.
    """
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for name, table in tables.items():
        schema = None if table is None else table.clear().cast({pl.Categorical: pl.String}).schema
        digest.update(f"\0{name}\0{schema}\0".encode())
        if table is not None:
            # The numbers of categories differ from process to process, their words do not.
            for rows in table.iter_slices(PART):
                digest.update(rows.cast({pl.Categorical: pl.String}).hash_rows().to_numpy().data)
    return digest.hexdigest()
