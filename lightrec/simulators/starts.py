"""Where simulated sessions begin: histories cut out of a prepared log."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightrec.data.eligibility import Showable, showable
from lightrec.data.store import EventStore
from lightrec.errors import DataError


class Starts(Protocol):
    """What a simulator asks of its start states."""

    num_users: int

    def draw(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw users (count,) and the ends (count,) of their histories."""

    def ends_of(self, users: Tensor) -> Tensor:
        """Give the ends (B,) of users' whole histories."""

    def history(self, users: Tensor, ends: Tensor, length: int) -> Tensor:
        """Give (B, length) int64 histories, padded on the left."""

    def seen(self, users: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Give all earlier events as pairs: rows (S,) of the batch and items (S,)."""

    def eligible(self, users: Tensor) -> Tensor | None:
        """Give what may be shown to users, (B, N + 1) bool; None where everything may be."""


class LogStarts:
    """Start states from the events of a log.

    :param offsets: ``(U + 1,)`` int64: user u's events lie from ``offsets[u]`` to before
        ``offsets[u + 1]``.
    :param items: ``(E,)`` item indices, each user's oldest first.
    :param ends: ``(U,)`` int64: where each user's usable events end; None means at their last.
    :param users: ``(M,)`` int64 users to draw from; None means all.
    :param cut: whether a drawn session starts anywhere in its user's events, so that more states
        are met than there are users, or always at their end.
    :param allowed: gives what may be shown to users; None where everything may be.
    :raises DataError: where there is no user to draw from.
    """

    def __init__(
        self,
        offsets: Tensor,
        items: Tensor,
        *,
        ends: Tensor | None = None,
        users: Tensor | None = None,
        cut: bool = False,
        allowed: Showable | None = None,
    ) -> None:
        self.allowed = allowed
        self.offsets = offsets.long()
        # One more, so that a log without events can be read at all.
        self.items = torch.cat([items, items.new_zeros(1)])
        self.ends = self.offsets[1:] if ends is None else ends.long()
        self.users = torch.arange(len(self.ends)) if users is None else users.long()
        self.num_users = len(self.users)
        self.cut = cut
        if not self.num_users:
            raise DataError("There is no user whose history a simulated session could start from.")

    @classmethod
    def from_store(
        cls,
        store: EventStore,
        *,
        ends: np.ndarray | None = None,
        users: Tensor | None = None,
        cut: bool = False,
    ) -> "LogStarts":
        """Take the start states from a prepared log, and what its domain lets be shown.

        :param ends: ``(U,)`` positions in ``store.without_cold`` before which events may be used;
            None means the training events only.
        :raises PluginError: where the log's domain forbids items and is not installed.
        """
        store = store.without_cold
        stops = store.train_ends() if ends is None else ends
        return cls(
            torch.from_numpy(np.array(store.offsets)),
            torch.from_numpy(np.array(store.items)),
            ends=torch.from_numpy(np.array(stops)),
            users=users,
            cut=cut,
            allowed=showable(store),
        )

    def draw(self, count: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw users evenly, and from each a place in the log.

        :returns: users ``(count,)`` and the positions ``(count,)`` before which their histories
            end; a cut leaves at least one event where the user has any.
        """
        users = torch.rand(count, generator=generator)
        users = self.users[(users * self.num_users).long().clamp_max(self.num_users - 1)]
        ends = self.ends[users]
        if self.cut:
            share = torch.rand(count, generator=generator)
            length = ends - self.offsets[users]
            ends = ends - (share * length).long().clamp_max((length - 1).clamp_min(0))
        return users, ends

    def ends_of(self, users: Tensor) -> Tensor:
        """Give the ends ``(B,)`` of users' whole usable histories."""
        return self.ends[users]

    def history(self, users: Tensor, ends: Tensor, length: int) -> Tensor:
        """Give the last events before ``ends``: ``(B, length)`` int64, padded on the left."""
        positions = ends[:, None] + torch.arange(-length, 0)
        inside = positions >= self.offsets[users][:, None]
        return torch.where(inside, self.items[positions.clamp_min(0)].long(), 0)

    def seen(self, users: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Give all events before ``ends`` as pairs of a batch row and an item, int64."""
        first = self.offsets[users]
        counts = ends - first
        rows = torch.repeat_interleave(torch.arange(len(users)), counts)
        before = counts.cumsum(0) - counts
        positions = torch.arange(len(rows)) - before[rows] + first[rows]
        return rows, self.items[positions].long()

    def eligible(self, users: Tensor) -> Tensor | None:
        """Give what may be shown to users, ``(B, N + 1)`` bool; None where everything may be."""
        return None if self.allowed is None else self.allowed(users)
