"""What the report says of the data: what was read, what was left out and why."""

from collections.abc import Mapping
from typing import Any

from lightrec.data.findings import KEPT, LEFT_OUT, in_words
from lightrec.evaluation.sections import Section, Table


def data_section(meta: Mapping[str, Any]) -> Section:
    """Show what was read, what was left out and why.

    :param meta: the ``meta.json`` of the prepared log.
    """
    counts = meta["counts"]
    rows = [["events read", f"{counts['events_read']:,}"]]
    left_out = in_words(counts, LEFT_OUT, meta.get("left_out"))
    rows += [[f"− {words}", f"{count:,}"] for count, words in left_out]
    rows += [["events used", f"{counts['events']:,}"]]
    tables = [Table(["", "events"], rows, "events used")]
    kept = [[words, f"{count:,}"] for count, words in in_words(counts, KEPT)]
    if kept:
        tables.append(Table(["kept as they are", ""], kept))
    order = "by time" if meta["order"] == "time" else "by their order in the file, without times"
    return Section(
        "Data",
        f"{counts['events']:,} events of {counts['users']:,} users with {counts['items']:,} items, "
        f"ordered {order}.",
        tables,
    )


def data_lines(meta: Mapping[str, Any]) -> str:
    """Set the same in lines for a terminal."""
    counts = meta["counts"]
    found = in_words(counts, LEFT_OUT, meta.get("left_out"))
    left_out = [f"{count:,} {words}" for count, words in found]
    own = counts.get("items_with_own_text", 0)
    texts = (
        f"texts: the item table's own for {own:,} items, the domain's words for the rest\n"
        if own
        else ""
    )
    return (
        f"data: {counts['events']:,} of {counts['events_read']:,} events read are used: "
        f"{counts['users']:,} users, {counts['items']:,} items\n"
        f"left out: {'; '.join(left_out) or 'nothing'}\n{texts}"
    )
