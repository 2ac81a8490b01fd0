"""What a run recommends to a few of its users, as soon as there is a ranker."""

import textwrap
from pathlib import Path

import numpy as np

from lightrec.recommend import Recommender

SHOWN, LAST, LISTED = 3, 3, 5
"""Users, their last items, and what is recommended to each."""
WIDTH = 100
"""Characters of a line."""


def first_lists(run: Path) -> str:
    """Give lists for users whose histories are of usual lengths, for a terminal."""
    recommender = Recommender(run, "blend")
    titles, store = recommender.catalog["title"], recommender.store
    lengths = np.diff(store.offsets)
    middle = np.argsort(lengths, kind="stable")[len(lengths) // 2 :][:SHOWN]
    lines = ["for example, to three users the blend recommends:"]
    for row in np.sort(middle):
        events = np.asarray(store.items[store.offsets[row] : store.offsets[row + 1]])
        last = [titles[int(item) - 1] for item in events[events <= store.num_items][-LAST:]]
        user = store.user_ids[int(row)]
        found = recommender.recommend(user, k=LISTED)["title"].to_list()
        for word, names in ((f"{user} had last:", last), ("so perhaps:", found)):
            shown = "; ".join(textwrap.shorten(name, 30, placeholder="…") for name in names)
            lines += textwrap.wrap(
                f"{word} {shown}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    return "\n".join(lines)
