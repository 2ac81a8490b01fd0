"""How much of what lists show is by people's own friends, beside what people choose of it."""

import numpy as np
import polars as pl
from torch import Tensor

from lightrec.api import (
    Column,
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
COLUMNS = {"friends": "friends' share", "ties": "strength of their ties"}


class OwnCircle(Evaluator):
    """The share of lists' exposure that people's friends have, beside their share of choices.

    Exposure is 1 / log2(1 + rank) in the list of ten at each test event. Where lists show people
    more of their own circle than they choose, an echo chamber is to be feared (Cinelli et al. 2021,
    "The echo chamber effect on social media"); what is new comes by weak ties (Granovetter 1973,
    "The strength of weak ties").
    """

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``circle/<recommender>/friends`` and ``ties``; nothing without makers or friends."""
        store, log = run.data, HeldOutLog()
        if MAKER not in store.catalog.columns or FRIENDS not in store.users.columns:
            return Findings({})
        ranked = {n: log.rank(store, s, seed) for n, s in scorers_of(run, (), policy=True).items()}
        users, chosen = ranked["blend"].users, ranked["blend"].targets[:, None]
        lists = {name: each.lists for name, each in ranked.items()} | {"choices": chosen}
        found = {name: circle(store, users, each) for name, each in lists.items()}
        metrics = {f"circle/{n}/{what}": x for n, of in found.items() for what, x in of.items()}
        table = Table.of(metrics, "circle/{}/{}", ROWS, COLUMNS, own="blend")
        text = (
            "The share of exposure, 1 / log2(1 + rank) in lists of ten, that posts of people's own "
            "friends have, beside their share of what people chose; and how strong the ties to "
            "these friends are: of the other friends of the two, the share that both have."
        )
        return Findings(metrics, [Section("One's own circle", text, [table])])


def circle(store: EventStore, users: Tensor, lists: Tensor) -> dict[str, float]:
    """What friends' items have of the lists (E, K) that come to users (E,).

    :returns: their share of exposure as ``friends``; and where any is shown, the mean strength of
        the ties to their makers as ``ties``, weighted by exposure: of the two people's other
        friends, the share that both have (Onnela et al. 2007, "Structure and tie strengths in
        mobile communication networks").
    """
    rows, places = (each.numpy() for each in lists.nonzero(as_tuple=True))
    makers = store.catalog[MAKER].gather(lists.numpy()[rows, places] - 1)
    shown = pl.DataFrame({"row": users.numpy()[rows], MAKER: makers, "w": 1 / np.log2(places + 2)})
    known = shown.drop_nulls().group_by("row", MAKER, maintain_order=True).sum()
    people = store.users.select(Column.USER, FRIENDS).with_row_index("row").cast({"row": pl.Int64})
    near = known.join(people, on="row").filter(pl.col(MAKER).is_in(pl.col(FRIENDS)))
    theirs = people.select(pl.col(Column.USER).alias(MAKER), pl.col(FRIENDS).alias("theirs"))
    near, mine = near.join(theirs, on=MAKER, how="left"), pl.col(FRIENDS).list
    others = mine.set_union("theirs").list.set_difference(pl.concat_list(Column.USER, MAKER))
    both = mine.set_intersection("theirs").list.len()
    ties = near.select("w", tie=both / pl.max_horizontal(1, others.list.len())).drop_nulls()
    strength = {"ties": float(np.average(ties["tie"], weights=ties["w"]))} if len(ties) else {}
    part, whole = (each["w"].to_numpy().sum() for each in (near, known))
    return {"friends": float(part / (whole or 1))} | strength
