"""What a log and its tables hold, before anything is done with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from lightrec.data.domain import Domain, words_of
from lightrec.data.events import NO_TIME, NOTHING, encode
from lightrec.data.prepare import by_feedback, first_of_equal, take_strongest
from lightrec.data.readers.base import Tables
from lightrec.data.treatments import ByFeedback
from lightrec.keys import Column


@dataclass(frozen=True)
class Findings:
    """What ``lightrec data check`` tells of files that can be used.

    :param counts: events, users, items, and what is treated (``lightrec.data.treatments``).
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
        columns=dict(tables.columns) or known,
        ignored=tables.ignored,
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
    if events.candidates is None and not domain.repeats:
        dropped["dropped_repeated"] = take_strongest(events)
    counts = {"events": len(log), **{why: int(went.sum()) for why, went in dropped.items()}}
    sizes = np.bincount(events.users) if len(events.users) else np.zeros(0, np.int64)
    ids = [events.user_words, events.item_words]
    counts |= {
        "users": int((sizes > 0).sum()),
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
