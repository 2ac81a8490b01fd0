"""Audiences: to whom items are to be shown, and when, as a domain's ``eligible`` is asked.

Later versions may tell more in further fields; what there is stays.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from lightrec.keys import PADDING, Column, Key

Mask: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What U people did before a moment: their whole histories, and the session so far.

    The events are those that models read there as histories.
    """

    history: NDArray[np.int64]
    """(U, L): numbers of items, 1 to N, oldest first, padded with 0 on the left; N + 1 where
    nothing was chosen."""
    kinds: NDArray[np.int64]
    """(U, L): each event's kind of feedback, 1 for the first of ``kind_names``; 0 where it is not
    known, as of ``--history``, of simulated sessions and of logs with one kind."""
    kind_names: Sequence[str]
    """The kinds of feedback in the log, if there are several."""
    times: NDArray[np.datetime64]
    """(U, L) datetime64[ms] in UTC; NaT where it is not known, as of ``--history``."""
    session: NDArray[np.int64]
    """(U,): number of last events that belong to the session so far."""
    shown: NDArray[np.int64]
    """(U, S): numbers of the items that the session has shown, in any order, 0 for none. S is 0
    where nobody keeps them: only simulated sessions do."""

    @classmethod
    def of(cls, known: Mapping[str, ArrayLike], kind_names: Sequence[str]) -> Self:
        """Make it of what is known of U people, arrays or tensors of the CPU.

        :param known: ``Key.HISTORY``, and of ``Key.FEEDBACK``, ``Key.TIME``, ``Key.SO_FAR`` and
            ``Key.SHOWN`` what there is.
        """
        history = np.asarray(known[Key.HISTORY])
        times = np.asarray(known.get(Key.TIME, np.zeros_like(history))).astype("datetime64[ms]")
        return cls(
            history=history,
            kinds=np.asarray(known.get(Key.FEEDBACK, np.zeros_like(history))),
            kind_names=kind_names,
            times=np.where(times.astype(np.int64) == 0, np.datetime64("NaT"), times),
            session=np.asarray(known.get(Key.SO_FAR, np.zeros(len(history), np.int64))),
            shown=np.asarray(known.get(Key.SHOWN, np.zeros((len(history), 0), np.int64))),
        )


class Audience:
    """U people to whom some of N items are to be shown, each at a moment.

    :param users: U rows of the prepared log's user table: ``user`` and any attributes.
    :param items: the N items in their order: ``item``, ``title``, ``text`` and any attributes.
    :param time: U datetimes in UTC at which items are to be shown; null in a log without times.
    :param past: what they did before; None for domains that do not read it.
    :param lookups: keeps what is looked up in ``items``, for other audiences of the same table.
    """

    def __init__(
        self,
        *,
        users: pl.DataFrame,
        items: pl.DataFrame,
        time: pl.Series,
        past: Past | None = None,
        lookups: dict[str, Any] | None = None,
    ) -> None:
        self.users, self.items, self.time = users, items, time
        self._past, self._lookups = past, {} if lookups is None else lookups

    @property
    def past(self) -> Past:
        """What the people did before.

        :raises RuntimeError: where their domain does not say that it reads it.
        """
        if self._past is None:
            raise RuntimeError(
                "`eligible` reads what people did, and would be asked once a session only: set "
                "`by_history = True` in the class of the domain, so that it is asked at each step."
            )
        return self._past

    def had(self, kinds: Collection[str] | None = None) -> Mask:
        """Which items the people have events about, (U, N) bool.

        :param kinds: of feedback that count; None for all. An event of no known kind counts always.
        """
        past, count = self.past, self.items.height
        items = np.where(past.history > count, PADDING, past.history)
        if kinds is not None:
            wanted = [0, *(n for n, kind in enumerate(past.kind_names, 1) if kind in kinds)]
            items = items * np.isin(past.kinds, wanted)
        had = np.zeros((len(items), count + 1), bool)
        np.put_along_axis(had, items, True, axis=1)
        return had[:, 1:]

    def had_all(self, attribute: str, kinds: Collection[str] | None = None) -> Mask:
        """Whether the people have events about all items that an item names, (U, N) bool.

        What is no item of the log was never had. An item that names none needs none.

        :param attribute: of the items: the ids of others, such as those that an item requires.
        :param kinds: as of :meth:`had`.
        """
        had = np.pad(self.had(kinds), ((0, 0), (1, 1)))  # what is no item is at the end
        allowed = np.ones((len(had), self.items.height), bool)
        if attribute not in self._lookups:
            self._lookups[attribute] = self._named(attribute)
        for rows, numbers in self._lookups[attribute]:
            allowed[:, rows] &= had[:, numbers]
        return allowed

    def _named(self, attribute: str) -> Places:
        """The rows of items that name a first item, a second and so on, and these items' numbers.

        The number of what is no item is -1.
        """
        if attribute not in self.items.columns:
            return []
        names = pl.DataFrame({"row": range(self.items.height), "id": self.items[attribute]})
        if isinstance(names["id"].dtype, pl.List):
            names = names.explode("id")
        names = names.drop_nulls("id").with_columns(pl.col("id").cast(pl.String))
        ids = self.items.select(id=pl.col(Column.ITEM).cast(pl.String)).with_row_index("number", 1)
        named = names.join(ids, on="id", how="left", maintain_order="left").with_columns(
            pl.col("number").cast(pl.Int64).fill_null(-1), place=pl.int_range(pl.len()).over("row")
        )
        parts = named.partition_by("place", maintain_order=True)
        return [(part["row"].to_numpy(), part["number"].to_numpy()) for part in parts]
