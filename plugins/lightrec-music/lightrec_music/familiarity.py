"""Favourites and discoveries: what lists hold of both and find of both, and what each is worth."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.domain import showable
from lightrec.data.store import EventStore
from lightrec.errors import RecipeError
from lightrec.evaluation.base import (
    Curve,
    Evaluator,
    Findings,
    Metrics,
    Section,
    Table,
    interval,
    spread,
)
from lightrec.evaluation.held_out import MET, HeldOutLog, mean_of_users, scorers_of
from lightrec.keys import PADDING, Key
from lightrec.ranking.metrics import mean_ranks, top_items
from lightrec.ranking.scorers import Scorer
from lightrec.rewards.base import Reward
from lightrec.run import Run

SHOWN: Final = 10
"""Items in a list."""
TITLES: Final = {name: name for name in ("blend", MET, "popularity")}
SHARES: Final = {
    "familiar@10": "shown: played before",
    "skipped@10": "shown: only skipped before",
}
HITS: Final = {"repeat_hit@10": "repeats found", "discovery_hit@10": "discoveries found"}


class Heard(NamedTuple):
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
        """Give :data:`SHARES` and :data:`HITS`, each with its interval over users."""
        found = self.hits(self.ranks <= SHOWN, prefix, seed)
        for name, share in zip(SHARES, (self.familiar, self.skipped), strict=True):
            found |= mean_of_users(f"{prefix}{name}", share, self.users, seed)
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
        for name, part in zip(HITS, (self.met, ~self.met), strict=True):
            own = hit[part].double(), self.users[part]
            found |= mean_of_users(f"{prefix}{name}", *own, seed)
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
        scorers = scorers_of(run)
        heard = {name: self.listen(run.data, scorer, seed) for name, scorer in scorers.items()}
        met = heard["blend"].met
        metrics: dict[str, float] = {"music/events": len(met), "music/repeats": int(met.sum())}
        for name, found in heard.items():
            metrics |= found.metrics(f"music/{name}/", seed)
        for places in self.places:
            metrics |= heard["blend"].reserving(places, f"music/places-{places}/", seed)
        return Findings(metrics, [self.section(metrics)], verdict(metrics))

    @torch.no_grad()
    def listen(self, store: EventStore, scorer: Scorer, seed: int) -> Heard:
        """Rank the test events with one scorer."""
        allowed, likes = showable(store), liked(store)
        rows: list[Heard] = []
        for batch in HeldOutLog(self.max_events).events(store, seed):
            scores, target = scorer(batch), batch[Key.TARGET][:, None]
            met, played = marked(batch, likes, scores)
            may = torch.ones_like(met).scatter(1, batch[Key.SEEN], False)
            eligible = allowed(batch[Key.USER])
            may = may if eligible is None else may & eligible
            shown = top_items(scores, SHOWN, eligible=may)
            share = (shown != PADDING).sum(1).clamp(min=1)
            known = played.gather(1, target)
            ranks, own_ranks = (
                mean_ranks(scores, target[:, 0], eligible=part.scatter(1, target, True))
                for part in (may, may & (played == known))
            )
            familiar, skipped = (
                part.gather(1, shown).sum(1) / share for part in (played, met & ~played)
            )
            favourites = (may & played).sum(1)
            users = batch[Key.USER]
            rows.append(Heard(users, known[:, 0], familiar, skipped, ranks, own_ranks, favourites))
        return Heard(*(torch.cat(column) for column in zip(*rows, strict=True)))

    def section(self, metrics: Metrics) -> Section:
        """Set shares and hits, and what reserved places change."""
        text = (
            f"Of {metrics['music/events']:,} held-out events {metrics['music/repeats']:,} are "
            "about an item that the listener had played before. The first two columns say what "
            "share of a list of ten was played before, or met and only skipped; the others, how "
            "many repeats and discoveries stand in the ten."
        )
        tables = [Table.of(metrics, "music/{}/{}", TITLES, SHARES | HITS, own="blend")]
        charts, note = [], ""
        if all(f"music/blend/{hit}" in metrics for hit in HITS):
            titles = {f"places-{places}": f"{places} of ten" for places in self.places}
            tables.append(Table.of(metrics, "music/{}/{}", titles, HITS, "places for discoveries"))
            x, y = ([metrics[f"music/{title}/{hit}"] for title in titles] for hit in HITS)
            words = [str(places) for places in self.places]
            axes = tuple(HITS.values())
            charts.append(Curve(x, y, axes, "places of ten for discoveries", words))
            note = (
                "In the second table the blend fills the reserved places with what was never "
                "played, and the others with favourites."
            )
        return Section("Favourites and discoveries", text, tables, charts, note)


def liked(store: EventStore) -> Tensor:
    """(K + 1,) bool: whether an event of each kind of feedback counts as a play."""
    worth: Mapping[str, float] = store.meta["settings"]["weights"] or {}
    return torch.tensor([True, *(worth.get(kind, 1.0) > 0 for kind in store.feedback_kinds)])


def marked(batch: Mapping[str, Tensor], likes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mark the items of histories: (B, N + 1) bool for those met, and for those played."""
    history = good = batch[Key.HISTORY]
    if Key.FEEDBACK in batch:
        good = history.where(likes[batch[Key.FEEDBACK]], PADDING)
    nothing = torch.zeros_like(scores, dtype=torch.bool)
    met, played = (nothing.scatter(1, items, True) for items in (history, good))
    return pad(met[:, 1:], (1, 0)), pad(played[:, 1:], (1, 0))


def verdict(metrics: Metrics) -> list[str]:
    """Say how familiar the lists are, and what they find."""
    share = interval(metrics, f"music/blend/familiar@{SHOWN}")
    found = [f"Of what the blend shows, its listeners have played {spread(share, '.0%')} before."]
    for name, what in zip(HITS, ("repeats", "discoveries"), strict=True):
        if hit := interval(metrics, f"music/blend/{name}"):
            found.append(f"Of the held-out {what}, {spread(hit, '.0%')} stand in its first ten.")
    return found


class DiscoveryReward(Reward):
    """1 for an accepted favourite, another worth for a discovery, and less for what just played.

    A favourite is in the history. Listeners take favourites readily, so that a policy paid by
    accepted items alone shows little else; this reward says what a discovery is worth in
    favourites.

    :param discovery: worth of an accepted item that is not in the history.
    :param tired: worth of one that is among the last steps.
    :param rest: how many steps those are.
    :raises RecipeError: where ``rest`` is below 0.
    """

    def __init__(self, discovery: float = 2.0, tired: float = 0.25, rest: int = 5) -> None:
        super().__init__()
        if rest < 0:
            raise RecipeError(f"rest is {rest}; give the number of last steps, 0 or more.")
        self.discovery, self.tired, self.rest = discovery, tired, rest

    def forward(self, transition: TensorDictBase) -> Tensor:
        """Give rewards (B, 1)."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        same = (history[:, None] == slate[:, :, None]) & (slate != PADDING)[:, :, None]
        known = same.any(2)
        just = same[:, :, max(history.shape[1] - self.rest, 0) :].any(2)
        worth = torch.where(known, 1.0, self.discovery).masked_fill(just, self.tired)
        return self.of_taken(transition, worth)
