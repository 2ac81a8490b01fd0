"""A summary of a log and its tables, and the wording of what is dropped or tolerated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from lightrec.data.domain import Domain, with_texts
from lightrec.data.events import by_feedback, drop, encode
from lightrec.data.readers.base import Tables
from lightrec.keys import Column

LEFT_OUT: Final = {
    "dropped_without_user": "events without a user",
    "dropped_without_time": "events without a time, in a log that has times",
    "dropped_without_weight": "events whose feedback has no weight, or weight 0",
    "dropped_below_minimum": "events below the minimum value",
    "dropped_duplicate": "duplicates: same user, item, time and feedback as an earlier event",
    "dropped_repeated": "repeats of a user and an item, of which the strongest stays",
    "dropped_k_core": "events of users or items with too few events (k-core)",
}
"""Events that are dropped, in the order of the steps."""

KEPT: Final = {
    "users_made_up": "users made up, one per session, impression or row: the log names none",
    "users_with_one_event": "users with one event, which is trained on and never tested",
    "users_without_train": "users without a training event",
    "items_without_row": "items without a row in the item table, kept with empty text",
    "items_without_text": "items without text",
    "items_with_own_text": "items with the item table's own text in place of the domain's words",
    "choices_not_offered": "choices that were not among the candidates, kept as history only",
    "ids_with_blanks": "ids with blanks around them, kept as they are",
}
"""Oddities that are tolerated."""


ByFeedback: TypeAlias = Mapping[str, Mapping[str, int]]
"""How many events of each kind of feedback were dropped, by the name of the count."""


@dataclass(frozen=True)
class Findings:
    """What ``lightrec data check`` reports of files that can be used.

    :param counts: events, users, items, and the counts of ``LEFT_OUT`` and ``KEPT``.
    :param times: the first and the last time in ISO 8601; None in a log without times.
    :param feedback: how many events there are of each feedback.
    :param columns: column of the log to column of the file, or to itself if the file does not name
        its columns.
    :param ignored: columns of the file that have no place in a log.
    :param left_out: the dropped events of ``counts`` by feedback; empty if there is only one kind.
    """

    counts: Mapping[str, int]
    times: tuple[str, str] | None
    feedback: Mapping[str, int]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    left_out: ByFeedback = field(default_factory=dict)


def look_at(tables: Tables, domain: Domain) -> Findings:
    """Count what a run over these tables would find, drop and tolerate.

    What depends on the settings of a run, such as the k-core, is not counted.

    :param domain: describes items and says whether an item may repeat.
    """
    log = tables.log
    known = {c: c for c in log.events.columns if log.has(c)}
    feedback = log.events[Column.FEEDBACK].value_counts(sort=True)
    has_times = log.has(Column.TIME)
    times = log.events[Column.TIME].drop_nulls().sort().dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    counts, left_out = _count(tables, domain)
    return Findings(
        counts=counts,
        times=(times[0], times[-1]) if has_times else None,
        feedback=dict(feedback.iter_rows()),
        columns=dict(log.place.names) or known,
        ignored=log.place.ignored,
        left_out=left_out,
    )


def _count(tables: Tables, domain: Domain) -> tuple[dict[str, int], ByFeedback]:
    events = encode(tables.log, None)
    dropped = drop(events, repeats=domain.repeats)
    sizes = np.unique(events.users, return_counts=True)[1]
    ids = pl.concat([events.user_words, events.item_words])
    counts = {
        "events": len(tables.log),
        **{why: int(went.sum()) for why, went in dropped.items()},
        "users": len(sizes),
        "users_made_up": 0 if events.has_users else len(sizes),
        "items": len(events.item_words),
        "users_with_one_event": int((sizes == 1).sum()),
        "ids_with_blanks": int((ids != ids.str.strip_chars()).sum()),
    }
    if tables.catalog is not None:
        rows = with_texts(domain, tables.catalog.items)
        worded = rows.filter(pl.col(Column.TEXT) != "")
        for name, found in (("items_without_row", rows), ("items_without_text", worded)):
            known = events.item_words.is_in(found[Column.ITEM].implode())
            counts[name] = int((~known).sum())
    return counts, by_feedback(events, dropped)


def in_words(
    counts: Mapping[str, int], kinds: Mapping[str, str], by_feedback: ByFeedback | None = None
) -> list[tuple[int, str]]:
    """List the counts that are not 0, each with its words.

    :param counts: such as those of ``meta.json``.
    :param kinds: ``LEFT_OUT`` or ``KEPT``.
    :param by_feedback: the counts by feedback, such as ``left_out`` of ``meta.json``.
    """
    found = []
    for kind, words in kinds.items():
        if counts.get(kind):
            parts = (by_feedback or {}).get(kind, {})
            shown = ", ".join(f"{name} {count:,}" for name, count in parts.items())
            found.append((counts[kind], f"{words} ({shown})" if shown else words))
    return found
