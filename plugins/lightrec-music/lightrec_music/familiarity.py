"""Favourites and discoveries: what lists hold of both and find of both, and what each is worth."""

from collections.abc import Mapping
from typing import Final

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import (
    PADDING,
    Evaluator,
    EventStore,
    Findings,
    HeldOutLog,
    Key,
    RecipeError,
    Reward,
    Run,
    Section,
    Table,
    interval,
    mean_of_users,
    scorers_of,
    spread,
)

TITLES: Final = {name: name for name in ("blend", "RepeatConsumption", "popularity")}
SHARES: Final = {"familiar@10": "shown: played before", "skipped@10": "shown: only skipped before"}
HITS: Final = {"repeat_hit@10": "repeats found", "discovery_hit@10": "discoveries found"}


class Familiarity(Evaluator):
    """Tells repeats from discoveries: what lists show, and how much of each they find.

    An item is familiar where an event of its listener's history was about it that was not worth
    less than nothing: a skip makes nothing familiar.
    """

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``music/events``, ``music/repeats`` and ``music/<recommender>/…``."""
        store, log, metrics = run.data, HeldOutLog(), dict[str, float]()
        likes = liked(store)
        for name, scorer in scorers_of(run).items():
            result = log.rank(store, scorer, seed)
            shares, repeats, lists = [], [], result.lists.split(log.batch_size)
            for batch, shown in zip(log.events(store, seed), lists, strict=True):
                seen, played = marked(batch, shown, likes)
                sums = torch.stack([played.sum(1), (seen & ~played).sum(1)])
                shares.append(sums / (shown != PADDING).sum(1).clamp(min=1))
                repeats.append(marked(batch, batch[Key.TARGET][:, None], likes)[1][:, 0])
            repeat, users = torch.cat(repeats), result.users
            metrics |= {"music/events": len(users), "music/repeats": int(repeat.sum())}
            for key, part in zip(HITS, (repeat, ~repeat), strict=True):
                hit = (result.ranks[part] <= 10).double()
                metrics |= mean_of_users(f"music/{name}/{key}", hit, users[part], seed)
            for key, share in zip(SHARES, torch.cat(shares, 1), strict=True):
                metrics |= mean_of_users(f"music/{name}/{key}", share, users, seed)
        return Findings(metrics, [section(metrics)], verdict(metrics))


def liked(store: EventStore) -> Tensor:
    """(K + 1,) bool: whether an event of each kind of feedback counts as a play."""
    worth: Mapping[str, float] = store.meta["settings"]["weights"] or {}
    return torch.tensor([True, *(worth.get(kind, 1.0) > 0 for kind in store.feedback_kinds)])


def marked(batch: Mapping[str, Tensor], items: Tensor, likes: Tensor) -> tuple[Tensor, Tensor]:
    """Mark which items (B, K) a batch's listeners know, and which they have played: (B, K)."""
    same = (items[:, :, None] == batch[Key.HISTORY][:, None]) & (items != PADDING)[:, :, None]
    good = same & likes[batch[Key.FEEDBACK]][:, None] if Key.FEEDBACK in batch else same
    return same.any(2), good.any(2)


def section(metrics: Mapping[str, float]) -> Section:
    """Set shares and hits."""
    text = (
        f"Of {metrics['music/events']:,} held-out events {metrics['music/repeats']:,} are about "
        "an item that the listener had played before. The first two columns say what share of a "
        "list of ten was played before, or seen and only skipped; the others, how many repeats and "
        "discoveries stand in the ten."
    )
    table = Table.of(metrics, "music/{}/{}", TITLES, SHARES | HITS, own="blend")
    return Section("Favourites and discoveries", text, [table])


def verdict(metrics: Mapping[str, float]) -> list[str]:
    """Say how familiar the lists are, and what they find."""
    share = interval(metrics, "music/blend/familiar@10")
    said = [f"Of what the blend shows, its listeners have played {spread(share, '.0%')} before."]
    for name, what in zip(HITS, ("repeats", "discoveries"), strict=True):
        if hit := interval(metrics, f"music/blend/{name}"):
            said.append(f"Of the held-out {what}, {spread(hit, '.0%')} stand in its first ten.")
    return said


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
        """Rewards (B, 1)."""
        history, slate = transition[Key.HISTORY], transition[Key.ACTION]
        same = (history[:, None] == slate[:, :, None]) & (slate != PADDING)[:, :, None]
        just = same[:, :, max(history.shape[1] - self.rest, 0) :].any(2)
        worth = torch.where(same.any(2), 1.0, self.discovery).masked_fill(just, self.tired)
        return self.of_taken(transition, worth)
