"""What a run's earlier version learned, asked about the items and users of today."""

import torch
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.keys import PADDING
from lightrec.policies.base import Policy, session_start, without_nothing
from lightrec.ranking.continued import items_before, numbers_before
from lightrec.ranking.scorers import Details, ItemScorer


class Earlier:
    """Scores today's items by what knows those of an earlier store.

    :param model: knows the items and users of ``before``.
    :param store: the store of today, and ``before`` the model's.
    """

    def __init__(self, model: ItemScorer | Policy, store: EventStore, before: EventStore) -> None:
        self.model = model
        self.items = items_before(store, before)
        rows = numbers_before(store.user_ids, before.user_ids)
        self.users = torch.from_numpy(rows)
        self.unknown = int((self.items[1:] == PADDING).sum())

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score today's items: (B, N + 1), minus infinity for those that the model does not know.

        A history is what it knows of it; so are users, of whom it knows all or none of a batch.
        """
        seen = without_nothing(self.items[histories], int(self.items.max()))
        known = None if users is None else self.users[users]
        if known is not None and (known < 0).any():
            known = None
        if isinstance(self.model, Policy):
            raw = self.model.scores(session_start(seen, known))
        else:
            raw = self.model.scores(seen, known)
        return raw[:, self.items].masked_fill(self.items == PADDING, -torch.inf)
