"""How much of what lists show is by people's own friends, beside what people choose of it."""

import numpy as np
import polars as pl
from torch import Tensor

from lightrec.api import (
    Evaluator,
    EventStore,
    Findings,
    HeldOutLog,
    Run,
    Section,
    Table,
    scorers_of,
)
from lightrec_social.domain import FRIENDS, MAKER

ROWS = {name: name for name in ("blend", "policy", "popularity")} | {"choices": "what was chosen"}


class OwnCircle(Evaluator):
    """The share of lists' exposure that people's friends have, beside their share of choices.

    Exposure is 1 / log2(1 + rank) in the list of ten at each test event. Where lists show people
    more of their own circle than they choose, an echo chamber is to be feared (Cinelli et al. 2021,
    "The echo chamber effect on social media").
    """

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``circle/<recommender>/friends``; nothing where no makers or no friends are known."""
        store, log = run.data, HeldOutLog()
        if MAKER not in store.catalog.columns or FRIENDS not in store.users.columns:
            return Findings({})
        ranked = {n: log.rank(store, s, seed) for n, s in scorers_of(run, (), policy=True).items()}
        users, chosen = ranked["blend"].users, ranked["blend"].targets[:, None]
        lists = {name: each.lists for name, each in ranked.items()} | {"choices": chosen}
        metrics = {f"circle/{n}/friends": friends_share(store, users, x) for n, x in lists.items()}
        table = Table.of(metrics, "circle/{}/{}", ROWS, {"friends": "friends' share"}, own="blend")
        text = (
            "The share of exposure, 1 / log2(1 + rank) in lists of ten, that posts of people's own "
            "friends have, beside their share of what people chose."
        )
        return Findings(metrics, [Section("One's own circle", text, [table])])


def friends_share(store: EventStore, users: Tensor, lists: Tensor) -> float:
    """The share of exposure that friends' items have, of users (E,) to whom lists (E, K) come."""
    rows, places = (each.numpy() for each in lists.nonzero(as_tuple=True))
    makers = store.catalog[MAKER].gather(lists.numpy()[rows, places] - 1)
    shown = pl.DataFrame({"row": rows, MAKER: makers, "weight": 1 / np.log2(places + 2)})
    people = store.users[users.numpy()].select(pl.int_range(pl.len()).alias("row"), FRIENDS)
    known, pairs = shown.drop_nulls(), people.explode(FRIENDS)
    near = known.join(pairs, left_on=["row", MAKER], right_on=["row", FRIENDS], how="semi")
    part, whole = (each["weight"].to_numpy().sum() for each in (near, known))
    return float(part / (whole or 1))
