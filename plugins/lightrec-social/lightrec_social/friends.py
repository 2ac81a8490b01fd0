"""The choices of friends: an item model of a graph of people."""

from typing import ClassVar, Final, Self

import numpy as np
import polars as pl
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.api import PADDING, Column, Details, Evidence, ItemModel, Key, NotApplicable

PARTS: Final = ("data", "indices", "indptr")
"""Arrays of a sparse matrix, see ``scipy.sparse.csr_array``."""


class FriendsTaste(ItemModel):
    """Scores an item by the friends who chose it, and by their friends.

    With A the friendships, either way, divided by the root of both people's numbers of friends, and
    X the people's training events, divided by the root of a person's number of them, the scores
    are (A + further · A²) X / c^rarity, where c are the items' counts: two steps of a graph
    convolution without weights (He et al. 2020, "LightGCN"). Nobody is their own friends' friend.

    :param further: what a friend's friend counts.
    :param rarity: how much an item's popularity is divided out; 0: not at all.
    :param attribute: of the user table, which lists each user's friends.
    """

    GRID: ClassVar = {"further": (0.0, 0.3, 1.0), "rarity": (0.0, 0.5)}
    SCORING: ClassVar = frozenset({"further", "rarity"})

    counts: Tensor
    """(N + 1,) float32."""

    def __init__(
        self, further: float | None = None, rarity: float | None = None, attribute: str = "friends"
    ) -> None:
        super().__init__()
        self.further, self.rarity, self.attribute = further, rarity, attribute

    def fit(self, evidence: Evidence) -> Self:
        """Keep who is whose friend, and what everybody chose in training.

        :raises NotApplicable: where the user table lists no friends who are in the log.
        """
        graph = friendships(evidence.users, self.attribute)
        if not len(graph):
            raise NotApplicable(
                f"The user table has no lists {self.attribute!r} of users who are in the log."
            )
        log, people = evidence.log, len(evidence.log.offsets) - 1
        friends = np.ones(len(graph), np.float32), graph.T
        chosen = evidence.worths, (log.users_of(np.arange(len(log.items))), log.items)
        graph = scipy.sparse.csr_array(friends, shape=(people, people))
        events = scipy.sparse.csr_array(chosen, shape=(people, evidence.num_items + 1))
        self._keep("friends", _roots(graph) @ graph @ _roots(graph))
        self._keep("chosen", _roots(events) @ events)
        self.register_buffer("counts", evidence.counts())
        return self

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items: (B, N + 1); all 0 for somebody without known friends.

        :param users: (B,) rows of the user table; else ``Key.USER`` of the details.
        """
        users = (details or {}).get(Key.USER) if users is None else users
        if users is None:
            return torch.zeros(len(histories), len(self.counts), device=histories.device)
        rows = users.cpu().numpy()
        friends = self._kept("friends")
        near = friends[rows]
        if self.further:
            far = (near @ friends).tocoo()
            far.data[far.col == rows[far.row]] = 0  # nobody is their own friends' friend
            near = near + self.further * far
        scores = torch.from_numpy((near @ self._kept("chosen")).toarray()).float()
        scores /= self.counts.cpu().clamp(min=1) ** (self.rarity or 0.0)
        scores[:, PADDING] = 0
        return scores.to(histories.device)

    def _keep(self, name: str, matrix: "scipy.sparse.csr_array") -> None:
        for part in PARTS:
            values = getattr(matrix, part).astype(np.float32 if part == "data" else np.int64)
            self.register_buffer(f"{name}_{part}", torch.from_numpy(values))

    def _kept(self, name: str) -> "scipy.sparse.csr_array":
        parts = tuple(getattr(self, f"{name}_{part}").cpu().numpy() for part in PARTS)
        rows = len(parts[2]) - 1
        columns = rows if name == "friends" else len(self.counts)
        return scipy.sparse.csr_array(parts, shape=(rows, columns))


def friendships(users: pl.DataFrame, attribute: str) -> NDArray[np.int64]:
    """The pairs of friends who both have a row, (F, 2) rows of the user table, either way.

    :param users: ``user``, and ``attribute``, a list of users; none where it lacks that.
    """
    if not isinstance(users.schema.get(attribute), pl.List):
        return np.zeros((0, 2), np.int64)
    number = pl.int_range(pl.len())
    pairs = users.select(attribute, one=number).explode(attribute).drop_nulls()
    rows = users.select(Column.USER, other=number)
    joined = pairs.join(rows, left_on=attribute, right_on=Column.USER)
    one_way = joined.select("one", "other").to_numpy()
    either = np.concatenate([one_way, one_way[:, ::-1]])
    return np.unique(either[either[:, 0] != either[:, 1]], axis=0)


def _roots(matrix: "scipy.sparse.csr_array") -> "scipy.sparse.dia_array":
    """Make what divides rows by the roots of their sums."""
    sums = matrix.sum(1)
    return scipy.sparse.diags_array(1 / np.sqrt(np.where(sums > 0, sums, 1)))
