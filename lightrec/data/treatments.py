"""What is done with odd but usable input, in words: the names of the counts in ``meta.json``."""

from collections.abc import Mapping
from typing import Final, TypeAlias

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
