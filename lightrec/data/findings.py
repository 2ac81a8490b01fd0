"""What a log and its tables hold, and what is done with odd but usable input, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from lightrec.data.domain import Domain, words_of
from lightrec.data.events import (
    NO_TIME,
    NOTHING,
    by_feedback,
    encode,
    first_of_equal,
    take_strongest,
)
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
"""Events that are left out, in the order in which they go."""

KEPT: Final = {
    "users_made_up": "users made up, one a session, impression or row: the log does not say who",
    "users_with_one_event": "users with one event, which is trained on and never tested",
    "users_without_train": "users without a training event",
    "items_without_row": "items without a row in the item table, kept with empty text",
    "items_without_text": "items without text",
    "items_with_own_text": "items with the item table's own text in place of the domain's words",
    "choices_not_offered": "choices that were not among the candidates, kept as history only",
    "ids_with_blanks": "ids with blanks around them, kept as they are",
}
"""What is kept in spite of something."""


ByFeedback: TypeAlias = Mapping[str, Mapping[str, int]]
"""How many events of each kind of feedback were left out, by the name of the count."""


@dataclass(frozen=True)
class Findings:
    """What ``lightrec data check`` tells of files that can be used.

    :param counts: events, users, items, and what is treated (``lightrec.data.findings``).
    :param times: the first and the last moment in ISO 8601, where there are times.
    :param feedback: how many events there are of each feedback.
    :param columns: column of the log to column of the file; where the file does not name its
        columns, the log's own names.
    :param ignored: columns of the file that have no place in a log.
    :param left_out: what of ``counts`` is left out, by feedback; empty where there is one kind.
    """

    counts: Mapping[str, int]
    times: tuple[str, str] | None
    feedback: Mapping[str, int]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    left_out: ByFeedback = field(default_factory=dict)


def look_at(tables: Tables, domain: Domain) -> Findings:
    """Count what is there, and what would be treated, in a run over these tables.

    What depends on a run's settings, such as the k-core, is not counted.

    :param domain: puts items into words and says whether an item may repeat.
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
    log = tables.log
    events = encode(log, None)
    dropped = {"dropped_without_user": events.take(events.users != NOTHING)}
    if log.has(Column.TIME):
        dropped["dropped_without_time"] = events.take(events.times != NO_TIME)
        order = np.lexsort((events.times, events.users))
        dropped["dropped_duplicate"] = events.take(order[first_of_equal(events, order)])
    if not events.decisions and not domain.repeats:
        dropped["dropped_repeated"] = take_strongest(events)
    counts = {"events": len(log), **{why: int(went.sum()) for why, went in dropped.items()}}
    sizes = np.bincount(events.users) if len(events.users) else np.zeros(0, np.int64)
    ids = [events.user_words, events.item_words]
    users = int((sizes > 0).sum())
    counts |= {
        "users": users,
        "users_made_up": 0 if events.has_users else users,
        "items": len(events.item_words),
        "users_with_one_event": int((sizes == 1).sum()),
        **_texts(tables, events.item_words, domain),
        "ids_with_blanks": sum(int((i != i.str.strip_chars()).sum()) for i in ids),
    }
    return counts, by_feedback(events, dropped)


def _texts(tables: Tables, items: pl.Series, domain: Domain) -> dict[str, int]:
    if tables.catalog is None:
        return {}
    rows = tables.catalog.items
    given = rows[Column.TEXT].fill_null("")
    words = words_of(domain, rows)
    worded = rows[Column.ITEM].filter((given != "") | (words != ""))
    return {
        "items_without_row": int((~items.is_in(rows[Column.ITEM].implode())).sum()),
        "items_without_text": int((~items.is_in(worded.implode())).sum()),
    }


def in_words(
    counts: Mapping[str, int], kinds: Mapping[str, str], by_feedback: ByFeedback | None = None
) -> list[tuple[int, str]]:
    """The counts of some kinds that are not 0, each with its words.

    :param counts: such as those of ``meta.json``.
    :param kinds: ``LEFT_OUT`` or ``KEPT``.
    :param by_feedback: of a log with several kinds of feedback, how many events each count has of
        each; that of ``meta.json`` is ``left_out``.
    """
    found = []
    for kind, words in kinds.items():
        if counts.get(kind):
            parts = (by_feedback or {}).get(kind, {})
            shown = ", ".join(f"{name} {count:,}" for name, count in parts.items())
            found.append((counts[kind], f"{words} ({shown})" if shown else words))
    return found
