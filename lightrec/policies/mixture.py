"""Scores of all items made of others' scores: mixtures, and what an earlier version learned.

Nothing in them learns.
"""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from lightrec.data.sequences import last_events, with_only
from lightrec.data.store import EventStore
from lightrec.keys import PADDING, Key
from lightrec.policies.base import without_nothing
from lightrec.policies.baselines import Scores
from lightrec.ranking.blend import Blend
from lightrec.ranking.continued import items_before, numbers_before
from lightrec.ranking.scorers import Details, ItemScorer
from lightrec.users.user_model import UserModel


class Mixture:
    """Scores items by a blend's scores plus the weighted utilities of a user model.

    :param blend: reads histories without declined slates, and what else is known of their events.
    :param liked: from histories (B, L), N + 1 for declined slates, to utilities (B, N + 1), minus
        infinity for items that the user model does not know; see :func:`utilities`.
    :param weight: of the utilities.
    :param length: how many of a history's last events the blend reads; None for all.
    """

    def __init__(
        self, blend: Blend, liked: Scores, weight: float, length: int | None = None
    ) -> None:
        self.blend, self.weight, self.length = blend, weight, length
        self._liked = liked

    @classmethod
    def even(cls, blend: Blend, users: UserModel, liked: Scores | None = None) -> Self:
        """Weigh the transformer's scores and the utilities alike; nothing in it was chosen.

        It reads as much of a history as the user model does.

        :param liked: what the user model likes, where that is not asked of it as it is.
        """
        return cls(Blend(blend.ranker), liked or utilities(users), 1.0, users.choice.history_length)

    def read(self, events: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The blend's part of ``Key.HISTORY`` (B, L) and of what is known of its events."""
        history = events[Key.HISTORY]
        chosen = (history > PADDING) & (history <= self.blend.ranker.num_items)
        read = with_only(events, chosen)
        return read if self.length is None else last_events(read, self.length)

    def liked(self, histories: Tensor) -> Tensor:
        """The utilities, (B, N + 1) and finite; the mean stands for what has none."""
        liked = self._liked(histories)
        finite = liked.isfinite()
        mean = liked.where(finite, 0).sum(1, keepdim=True) / finite.sum(1, keepdim=True)
        return liked.where(finite, mean)

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items; see :class:`~lightrec.ranking.scorers.ItemScorer`."""
        read = self.read({**(details or {}), Key.HISTORY: histories})
        ranked = self.blend.scores(read[Key.HISTORY], users, details=read)
        return ranked + self.weight * self.liked(histories)


class Earlier:
    """Scores today's items by what knows those of an earlier store.

    :param model: knows the items and users of ``before``.
    :param store: the store of today, and ``before`` the model's.
    """

    def __init__(self, model: ItemScorer, store: EventStore, before: EventStore) -> None:
        self.model = model
        self.items = items_before(store, before)
        self.users = torch.from_numpy(numbers_before(store.user_ids, before.user_ids))
        self.unknown = int((self.items[1:] == PADDING).sum())

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score today's items: (B, N + 1), minus infinity for those that the model does not know.

        A history is what it knows of it; so are users, of whom it knows all or none of a batch.
        """
        seen = without_nothing(self.items[histories], int(self.items.max()))
        rows = None if users is None else self.users[users]
        if rows is not None and (rows < 0).any():
            rows = None
        raw = self.model.scores(seen, rows)
        return raw[:, self.items].masked_fill(self.items == PADDING, -torch.inf)


def utilities(users: UserModel) -> Scores:
    """Make what scores all items by a user model's utilities.

    It reads declined slates only where the model learned from them, as every policy on it does.
    """
    if users.records_nothing:
        return users.scores
    return lambda history: users.scores(without_nothing(history, users.num_items))
