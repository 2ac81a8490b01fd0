"""How much of what is shown its listener has played before, and what that finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.domain import showable
from lightrec.data.store import EventStore
from lightrec.evaluation.base import (
    Curve,
    Evaluator,
    Findings,
    Metrics,
    Section,
    Table,
    interval,
    keys_of,
    spread,
)
from lightrec.evaluation.held_out import MET, HeldOutLog, by_history, item_models
from lightrec.intervals import bootstrap_interval
from lightrec.keys import PADDING, Key
from lightrec.policies.baselines import PopularityPolicy
from lightrec.ranking.metrics import mean_ranks, top_items
from lightrec.ranking.scorers import Scorer
from lightrec.run import Run

SHOWN: Final = 10
"""Items in a list."""
TITLES: Final = {"blend": "blend", MET: MET, "popularity": "popularity"}
COLUMNS: Final = {
    "familiar": "shown: played before",
    "skipped": "shown: only skipped before",
    "repeat_hit": "repeats found",
    "discovery_hit": "discoveries found",
}


@dataclass(frozen=True)
class Heard:
    """What a scorer's lists say of what their listeners know; one row a held-out event.

    :param users: (E,) int64.
    :param met: (E,) bool, whether the listener had played the held-out item before.
    :param familiar: (E,) the share of the list that the listener had played before.
    :param skipped: (E,) the share that the listener had met and never played.
    :param ranks: (E,) of the held-out item among all items.
    :param own_ranks: (E,) among the items of its side alone: those played before, or all others.
    :param played: (E,) how many items that may be shown the listener had played before.
    """

    users: Tensor
    met: Tensor
    familiar: Tensor
    skipped: Tensor
    ranks: Tensor
    own_ranks: Tensor
    played: Tensor

    def metrics(self, prefix: str, seed: int) -> dict[str, float]:
        """Give the numbers of :data:`COLUMNS`, each with its interval over users."""
        shares = {"familiar": self.familiar, "skipped": self.skipped}
        found = self.hits(self.ranks <= SHOWN, prefix, seed)
        for name, share in shares.items():
            found |= _mean(f"{prefix}{name}@{SHOWN}", share, self.users, seed)
        return found

    def reserving(self, places: int, prefix: str, seed: int) -> dict[str, float]:
        """Give what lists find in which the last places are for what was never played.

        Where favourites do not fill the others, there are more of these places.
        """
        favourites = self.played.clamp(max=SHOWN - places)
        room = torch.where(self.met, favourites, SHOWN - favourites)
        return self.hits(self.own_ranks <= room, prefix, seed)

    def hits(self, hit: Tensor, prefix: str, seed: int) -> dict[str, float]:
        """Give the shares of repeats and of discoveries that are hits, (E,) bool."""
        found: dict[str, float] = {}
        for name, part in (("repeat_hit", self.met), ("discovery_hit", ~self.met)):
            found |= _mean(f"{prefix}{name}@{SHOWN}", hit[part].double(), self.users[part], seed)
        return found


class Familiarity(Evaluator):
    """Tells repeats from discoveries: what lists show, and how much of each they find.

    An item is familiar where an event of its listener's history was about it that was not worth
    less than nothing: a skip makes nothing familiar.

    :param max_events: at most so many test events, drawn by the seed; None for all.
    :param places: numbers of places, of ten, that are reserved for what was never played.
    """

    def __init__(
        self, max_events: int | None = 20_000, places: Sequence[int] = (0, 2, 4, 6, 8, 10)
    ) -> None:
        self.max_events, self.places = max_events, tuple(places)

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``music/<contender>/…`` and ``music/places-<n>/…``."""
        models = item_models(run)
        scorers: dict[str, Scorer] = {
            "blend": by_history(run.blend),
            "popularity": by_history(PopularityPolicy.from_run(run)),
        }
        scorers |= {MET: by_history(models[MET])} if MET in models else {}
        metrics: dict[str, float] = {}
        for name, scorer in scorers.items():
            heard = self.listen(run.data, scorer, seed)
            metrics |= heard.metrics(f"music/{name}/", seed)
            if name == "blend":
                metrics["music/events"] = len(heard.met)
                metrics["music/repeats"] = int(heard.met.sum())
                for places in self.places:
                    metrics |= heard.reserving(places, f"music/places-{places}/", seed)
        return Findings(metrics, [self.section(metrics)], verdict(metrics))

    @torch.no_grad()
    def listen(self, store: EventStore, scorer: Scorer, seed: int) -> Heard:
        """Rank the test events with one scorer."""
        allowed, likes = showable(store), liked(store)
        rows: list[tuple[Tensor, ...]] = []
        for batch in HeldOutLog(self.max_events).events(store, seed):
            scores, target = scorer(batch), batch[Key.TARGET]
            met, played = marked(batch, likes, scores)
            may = torch.ones_like(met).scatter(1, batch[Key.SEEN], False)
            eligible = allowed(batch[Key.USER])
            may = may if eligible is None else may & eligible
            shown = top_items(scores, SHOWN, eligible=may)
            share = (shown != PADDING).sum(1).clamp(min=1)
            known = played.gather(1, target[:, None])
            side = may & (played == known)
            rows.append(
                (
                    batch[Key.USER],
                    known.flatten(),
                    played.gather(1, shown).sum(1) / share,
                    (met & ~played).gather(1, shown).sum(1) / share,
                    mean_ranks(scores, target, eligible=may.scatter(1, target[:, None], True)),
                    mean_ranks(scores, target, eligible=side.scatter(1, target[:, None], True)),
                    (may & played).sum(1),
                )
            )
        return Heard(*(torch.cat(column) for column in zip(*rows, strict=True)))

    def section(self, metrics: Metrics) -> Section:
        """Set shares and hits, and what reserved places change."""
        events, repeats = (int(metrics[f"music/{name}"]) for name in ("events", "repeats"))
        text = (
            f"Of {events:,} held-out events {repeats:,} are about an item that the listener had "
            "played before. The first two columns say what share of a list of ten was played "
            "before, or met and only skipped; the others, how many repeats and discoveries stand "
            "in the ten."
        )
        columns = {f"{name}@{SHOWN}": title for name, title in COLUMNS.items()}
        tables = [Table.of(metrics, "music/{}/{}", TITLES, columns, own="blend")]
        titles = {f"places-{places}": f"{places} of ten" for places in self.places}
        hits = {name: title for name, title in columns.items() if "hit" in name}
        both = [title for title in titles if all(f"music/{title}/{hit}" in metrics for hit in hits)]
        charts = []
        if both:
            tables.append(Table.of(metrics, "music/{}/{}", titles, hits, "places for discoveries"))
            ends = [[metrics[f"music/{title}/{hit}"] for title in both] for hit in hits]
            words = [title.partition("-")[2] for title in both]
            axes = "repeats found", "discoveries found"
            charts.append(Curve(*ends, axes, "places of ten for discoveries", words))
        note = (
            "In the second table the blend fills the reserved places with what was never played, "
            "and the others with favourites."
        )
        return Section("Favourites and discoveries", text, tables, charts, note if both else "")


def liked(store: EventStore) -> Tensor:
    """(K + 1,) bool: whether an event of each kind of feedback counts as a play."""
    worth: Mapping[str, float] = store.meta["settings"]["weights"] or {}
    return torch.tensor([True, *(worth.get(kind, 1.0) > 0 for kind in store.feedback_kinds)])


def marked(batch: Mapping[str, Tensor], likes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mark the items of histories: (B, N + 1) bool for those met, and for those played."""
    history = batch[Key.HISTORY]
    met = torch.zeros_like(scores, dtype=torch.bool).scatter(1, history, True)
    played = met
    if Key.FEEDBACK in batch:
        good = history.where(likes[batch[Key.FEEDBACK]], PADDING)
        played = torch.zeros_like(met).scatter(1, good, True)
    return tuple(pad(marks[:, 1:], (1, 0)) for marks in (met, played))  # type: ignore[return-value]


def verdict(metrics: Metrics) -> list[str]:
    """Say how familiar the lists are, and what they find."""
    share = interval(metrics, f"music/blend/familiar@{SHOWN}")
    found = [f"Of what the blend shows, its listeners have played {spread(share, '.0%')} before."]
    for name, what in (("repeat_hit", "repeats"), ("discovery_hit", "discoveries")):
        if hit := interval(metrics, f"music/blend/{name}@{SHOWN}"):
            found.append(f"Of the held-out {what}, {spread(hit, '.0%')} stand in its first ten.")
    return found


def _mean(key: str, values: Tensor, users: Tensor, seed: int) -> dict[str, float]:
    """Give a mean with its interval over users; nothing where there are not two users."""
    if len(users.unique()) < 2:
        return {}
    return keys_of(key, bootstrap_interval(values, users, seed=seed))
