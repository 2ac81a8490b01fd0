"""Preparation of a log and its tables: filter, sort, split, and write the store.

The steps, in this order: drop events without a user and below the threshold; sort each user's
events by time; drop duplicates and repeated pairs; take the k-core; number items and users; split.
``meta.json`` counts everything that was dropped (``lightrec.data.findings``).
"""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from lightrec import plugins
from lightrec.data import splits
from lightrec.data.catalog import Catalog, Users
from lightrec.data.domain import Domain, with_texts
from lightrec.data.events import NOTHING, Dropped, Events, by_feedback, drop, encode, number
from lightrec.data.files import appearing
from lightrec.data.findings import LEFT_OUT, in_words
from lightrec.data.fingerprint import fingerprint
from lightrec.data.log import InteractionLog
from lightrec.data.run_folder import FORMAT_VERSION
from lightrec.data.store import (
    CATALOG,
    LOG,
    META,
    PARTS,
    SAID,
    TRAIN,
    USERS,
    EventStore,
)
from lightrec.errors import DataError
from lightrec.keys import Column

Split: TypeAlias = Literal["leave-one-out", "global-time", "item-cold"]
EqualTimes: TypeAlias = Literal["file", "shuffle"]
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


def prepare(
    log: InteractionLog,
    out: Path | str,
    *,
    catalog: Catalog | None = None,
    users: Users | None = None,
    domain: Domain,
    minimum_value: float | None,
    weights: Mapping[str, float] | None = None,
    k_core: int,
    split: Split,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    cold_fraction: float = 0.1,
    new_items: bool = False,
    equal_times: EqualTimes,
    seed: int,
) -> EventStore:
    """Filter, sort and split a log and write its store.

    Returns at once if ``out`` already holds the result of the same input and settings. The folder
    appears by one rename. In a log with times, the first of the events with the same user, item,
    time and feedback stays. If items do not repeat, the strongest of a user's events with an item
    stays, and the first of equally strong ones.

    Logs with candidates are taken as they are: repeated pairs stay, events with other candidates
    are no duplicates, and ``k_core`` counts only the users' decisions, since taking an item away
    would change what people chose from. Repeated pairs stay in logs with propensities, too.

    A log without users, such as a logged bandit, gets one per session, impression or row
    (:meth:`~lightrec.data.log.InteractionLog.users`), which ``k_core`` does not count.

    :param out: the folder to write; replaced where it holds a prepared log already.
    :param catalog: the items' texts and attributes; an item without a row gets an empty text.
    :param users: the users' attributes.
    :param domain: describes items and says whether they repeat in a history.
    :param minimum_value: events of a lower strength are not liked and are dropped; the strength is
        the value (else the count, else 1) times the weight of the feedback.
    :param weights: weight of each feedback, 0 or more; events of weight 0 and of feedback without a
        weight are dropped, because the user did not choose anything. None: all count 1.
    :param k_core: the least number of events of every user and every item; 0 for no limit.
    :param split: ``leave-one-out`` (each user's last event tests, the one before validates),
        ``global-time`` (the last stretch of the log's time tests, the stretch before validates) or
        ``item-cold`` (leave-one-out, with all events of some items held out).
    :param validation_fraction: of the log's time; for ``global-time`` only.
    :param test_fraction: of the log's time; for ``global-time`` only.
    :param cold_fraction: of the items, held out; for ``item-cold`` only.
    :param new_items: whether to include items of the catalog that the log never names, so that they
        can be recommended by their texts.
    :param equal_times: order of a user's events with equal times: that of the ``file``, or drawn
        from ``seed`` (``shuffle``). Without times, all times are equal.
    :raises DataError: if the log has no times for ``global-time``, ``weights`` names a feedback
        that it lacks, or no event is left.
    """
    out = Path(out)
    settings: dict[str, Any] = {
        "minimum_value": minimum_value,
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
        "repeats": domain.repeats,
    }
    worded = None if catalog is None else with_texts(domain, catalog.items)
    tables = {"log": log.events, "catalog": worded, "users": users.users if users else None}
    restricts = type(domain).eligible is not Domain.eligible
    mark = fingerprint(tables, {**settings, "format": FORMAT_VERSION, "restricts": restricts})
    if _is_current(out, mark):
        return EventStore.open(out)
    _check(log, settings)
    events = encode(log, weights)
    dropped = drop(
        events,
        repeats=domain.repeats,
        minimum_value=minimum_value,
        least=k_core,
        shuffle_seed=seed if equal_times == "shuffle" else None,
    )
    if not len(events.users):
        raise _nothing_left(log, events, dropped, settings)
    arrays, item_ids, user_ids = number(events)
    arrays["parts"] = _split(events, arrays, settings)
    feedback, chosen_kinds = events.feedback_kinds()
    if len(chosen_kinds) > 1:
        arrays["feedback"] = feedback
    if new_items and worded is not None:
        named = pl.concat([log.events[Column.ITEM], log.events[Column.CANDIDATES].explode()])
        fresh = worded[Column.ITEM].filter(~worded[Column.ITEM].is_in(named.unique().implode()))
        nothing = len(item_ids) + 1
        item_ids = item_ids.append(fresh)
        arrays["items"] = np.where(
            arrays["items"] == nothing, len(item_ids) + 1, arrays["items"]
        ).astype(np.int32)
    item_table, user_table = _item_table(item_ids, worded), _user_table(user_ids, users)
    if not events.has_users:
        plugins.warn(
            f"The log names no users: {len(user_ids):,} are made up, one per session, impression "
            "or row. If a column names the users, give it in the setting columns."
        )
    own_texts = _own_texts(item_table, catalog, domain)
    if own_texts:
        plugins.warn(
            f"The item table's own texts are used for {own_texts:,} of {item_table.height:,} "
            f"items; the words of {plugins.provider(domain)} for the rest. Leave the table's "
            f"column `{Column.TEXT}` out to have them for all."
        )
    counts = {
        "events_read": len(log),
        **{why: int(went.sum()) for why, went in dropped.items()},
        "choices_not_offered": events.not_offered,
        "users_made_up": 0 if events.has_users else len(user_ids),
        "ids_with_blanks": _with_blanks(item_ids) + _with_blanks(user_ids),
        **_counts(arrays, item_table, worded),
        "items_with_own_text": own_texts,
    }
    meta = {
        "version": FORMAT_VERSION,
        "fingerprint": mark,
        "settings": settings,
        "restricts": restricts,
        "has_nothing": bool((events.items == NOTHING).any()),
        "has_candidates": events.candidates is not None,
        "has_users": events.has_users,
        "order": "time" if log.has(Column.TIME) else "file",
        "feedback": chosen_kinds if len(chosen_kinds) > 1 else [],
        "left_out": by_feedback(events, dropped),
        "counts": counts,
    }
    said = [name for name in SAID if log.has(name)]
    kinds = pl.Enum(events.feedback_words)
    entries = log.events.select(said)[events.rows].cast({Column.FEEDBACK: kinds})
    _write(out, arrays, {CATALOG: item_table, USERS: user_table, LOG: entries}, meta)
    return EventStore.open(out)


def _nothing_left(
    log: InteractionLog, events: Events, dropped: Dropped, settings: Mapping[str, Any]
) -> DataError:
    counts = {why: int(went.sum()) for why, went in dropped.items()}
    left_out = "; ".join(
        f"{count:,} {words}"
        for count, words in in_words(counts, LEFT_OUT, by_feedback(events, dropped))
    )
    advice = {
        "dropped_without_weight": "give a weight above 0 to a kind of feedback that the log has",
        "dropped_below_minimum": f"lower minimum_value ({settings['minimum_value']})",
        "dropped_k_core": f"lower k_core ({settings['k_core']})",
    }
    ways = "; or ".join(way for why, way in advice.items() if counts.get(why))
    ways = ways or "give a log with events"
    return DataError(
        f"Nothing is left of the log's {len(log)} events. Left out: {left_out}. "
        f"{ways[0].upper()}{ways[1:]}."
    )


def _own_texts(items: pl.DataFrame, catalog: Catalog | None, domain: Domain) -> int:
    """Count the items whose text in the table replaces the domain's own words."""
    if catalog is None or type(domain).text is Domain.text:
        return 0
    given = catalog.items.filter(pl.col(Column.TEXT).fill_null("") != "")
    return items.join(given, on=Column.ITEM, how="semi").height


def _is_current(out: Path, mark: str) -> bool:
    try:
        return bool(EventStore.open(out).meta["fingerprint"] == mark)
    except (DataError, OSError, ValueError, KeyError):
        return False


def _check(log: InteractionLog, settings: Mapping[str, Any]) -> None:
    problems = []
    if settings["split"] == "global-time" and not log.has(Column.TIME):
        problems.append(
            f"The split 'global-time' needs times, and the log has none; name the column as "
            f"'{Column.TIME}' or use the split 'leave-one-out', which then goes by file order."
        )
    fractions = settings["validation_fraction"], settings["test_fraction"]
    if min(fractions) < 0 or sum(fractions) >= 1:
        problems.append(
            f"validation_fraction {fractions[0]} and test_fraction {fractions[1]} must be 0 or "
            "more and leave some time to train on."
        )
    if not 0 < settings["cold_fraction"] < 1:
        problems.append(
            f"cold_fraction {settings['cold_fraction']} must be a share of the items, above 0 and "
            "below 1."
        )
    problems += _check_weights(log, settings["weights"] or {})
    if problems:
        raise DataError(problems)


def _check_weights(log: InteractionLog, weights: Mapping[str, float]) -> Iterator[str]:
    kinds = log.events[Column.FEEDBACK].unique().sort().to_list()
    for name, weight in weights.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            yield (
                f"weights names the feedback {name!r}, of which the log has no event.{hint} The "
                f"log's kinds of feedback are: {', '.join(map(repr, kinds))}."
            )
        if not 0 <= weight < math.inf:
            yield (
                f"The weight of {name!r} is {weight}; a weight is a number from 0 on, and events "
                "of weight 0 are left out."
            )


def _split(events: Events, arrays: Arrays, settings: Mapping[str, Any]) -> npt.NDArray[np.int8]:
    offsets = arrays["offsets"]
    if settings["split"] == "leave-one-out":
        parts = splits.leave_one_out(offsets, events.is_target)
    elif settings["split"] == "item-cold":
        parts = splits.item_cold(
            arrays["items"], offsets, events.is_target, settings["cold_fraction"], settings["seed"]
        )
    else:
        parts = splits.global_time(
            events.times,
            events.is_target,
            settings["validation_fraction"],
            settings["test_fraction"],
        )
    if TRAIN not in parts:
        raise DataError("The split leaves no event to train on; the log is too small for it.")
    return parts


def _item_table(item_ids: pl.Series, worded: pl.DataFrame | None) -> pl.DataFrame:
    ids = item_ids.alias(Column.ITEM).to_frame()
    if worded is None:
        null = pl.lit(None, pl.String)
        return ids.with_columns(null.alias(Column.TITLE), pl.lit("").alias(Column.TEXT))
    table = ids.join(worded, on=Column.ITEM, how="left", maintain_order="left")
    return table.with_columns(pl.col(Column.TEXT).fill_null(""))


def _user_table(user_ids: pl.Series, users: Users | None) -> pl.DataFrame:
    ids = user_ids.alias(Column.USER).to_frame()
    if users is None:
        return ids
    return ids.join(users.users, on=Column.USER, how="left", maintain_order="left")


def _counts(
    arrays: Arrays, item_table: pl.DataFrame, worded: pl.DataFrame | None
) -> dict[str, int]:
    parts, offsets = arrays["parts"], arrays["offsets"]
    trained = np.add.reduceat((parts == TRAIN).astype(np.int64), offsets[:-1])
    known = pl.Series([], dtype=pl.String) if worded is None else worded[Column.ITEM]
    return {
        "events": len(parts),
        "users": len(offsets) - 1,
        "items": item_table.height,
        **{name: int((parts == part).sum()) for name, part in PARTS.items()},
        "users_with_one_event": int((np.diff(offsets) == 1).sum()),
        "users_without_train": int((trained == 0).sum()),
        "items_without_row": int((~item_table[Column.ITEM].is_in(known.implode())).sum()),
        "items_without_text": int((item_table[Column.TEXT] == "").sum()),
    }


def _with_blanks(ids: pl.Series) -> int:
    return int((ids != ids.str.strip_chars()).sum())


def _write(
    out: Path,
    arrays: Arrays,
    tables: Mapping[str, pl.DataFrame],
    meta: Mapping[str, Any],
) -> None:
    """Write next to ``out`` and rename, so that a store is either complete or absent."""
    if out.exists() and not (out / META).exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is no prepared log; choose another folder.")
    with appearing(out, replaces=True) as part:
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        for name, table in tables.items():
            # Arrow files can be mapped from disk; only the events are too many to be loaded.
            (table.write_ipc if name == LOG else table.write_parquet)(part / name)
        (part / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
