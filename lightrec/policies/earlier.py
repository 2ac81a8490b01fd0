"""A policy of a run's earlier version, asked about the items and users of today."""

import torch
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.keys import PADDING
from lightrec.policies.base import Policy, session_start, without_nothing
from lightrec.ranking.continued import items_before, numbers_before


class Earlier:
    """How the items and users of a store are numbered in the one that an earlier policy knows.

    :param store: the store of today, and ``before`` the policy's.
    """

    def __init__(self, store: EventStore, before: EventStore) -> None:
        self.items = items_before(store, before)
        rows = numbers_before(store.user_ids, before.user_ids)
        self.users = torch.from_numpy(rows)
        self.unknown = int((self.items[1:] == PADDING).sum())

    def scores(self, policy: Policy, history: Tensor, users: Tensor | None) -> Tensor:
        """Score today's items: (B, N + 1), minus infinity for those that the policy does not know.

        A history is what it knows of it; so are users, of whom it knows all or none of a batch.
        """
        seen = without_nothing(self.items[history], int(self.items.max()))
        known = None if users is None else self.users[users]
        if known is not None and (known < 0).any():
            known = None
        raw = policy.scores(session_start(seen, known))
        return raw[:, self.items].masked_fill(self.items == PADDING, -torch.inf)
