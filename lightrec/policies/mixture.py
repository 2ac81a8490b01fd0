"""Mixtures of what ranks the next event and of what user model A likes; nothing in them learns."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor

from lightrec.data.sequences import last_events, with_only
from lightrec.keys import PADDING, Key
from lightrec.policies.base import without_nothing
from lightrec.policies.baselines import Scores
from lightrec.ranking.blend import Blend
from lightrec.ranking.scorers import Details
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

    def read(self, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the blend reads of ``Key.HISTORY`` (B, L) and what is known of its events."""
        history = known[Key.HISTORY]
        chosen = (history > PADDING) & (history <= self.blend.ranker.num_items)
        found = with_only(known, chosen)
        return found if self.length is None else last_events(found, self.length)

    def liked(self, histories: Tensor) -> Tensor:
        """The utilities, (B, N + 1) and finite; the mean stands for what has none."""
        found = self._liked(histories)
        known = found.isfinite()
        mean = found.where(known, 0).sum(1, keepdim=True) / known.sum(1, keepdim=True)
        return found.where(known, mean)

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items; see :class:`~lightrec.ranking.scorers.ItemScorer`."""
        read = self.read({**(details or {}), Key.HISTORY: histories})
        ranked = self.blend.scores(read[Key.HISTORY], users, details=read)
        return ranked + self.weight * self.liked(histories)


def utilities(users: UserModel) -> Scores:
    """Make what scores all items by a user model's utilities.

    It reads declined slates only where the model learned from them, as every policy on it does.
    """
    if users.records_nothing:
        return users.scores
    return lambda history: users.scores(without_nothing(history, users.num_items))
