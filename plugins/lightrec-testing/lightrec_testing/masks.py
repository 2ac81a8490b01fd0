"""The contract of a domain's mask: what may be shown to whom, tried on the log that it makes up."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch

from lightrec.api import PADDING, Audience, Column, Domain, Key, Past
from lightrec.data.audience import Mask
from lightrec.data.sequences import Sequences
from lightrec.data.store import EventStore, padded
from lightrec_testing import tiny
from lightrec_testing.contract import DoesNotApply, Faults, NotChecked, Note, promise
from lightrec_testing.invariants import BatchChecks, described, differences

PEOPLE = 50
"""People of a log about whom a domain is asked."""
FORBIDS_NOTHING = "It forbids nobody anything in its log: let `synthetic` make up more."


class Names(list[str]):
    """Names, which note those that are looked for."""

    def __init__(self, names: Collection[str], noted: set[str]) -> None:
        super().__init__(names)
        self.noted = noted

    def __contains__(self, name: object) -> bool:
        self.noted.add(str(name))
        return super().__contains__(name)


class Asked(pl.DataFrame):
    """A table that notes the columns that are looked for."""

    def __init__(self, table: pl.DataFrame, noted: set[str]) -> None:
        super().__init__(table)
        self.noted = noted

    @property  # type: ignore[misc]
    def columns(self) -> list[str]:
        """The names of the columns."""
        return Names(super().columns, self.noted)

    def get_column(self, name: str, **default: Any) -> Any:
        """The column, which `table[name]` asks for, too."""
        self.noted.add(name)
        return super().get_column(name, **default)


class Asking(Audience):
    """An audience that notes the kinds of events that are looked for."""

    noted: set[str]

    def had(self, kinds: Collection[str] | None = None) -> Mask:
        """Which items the people have events about."""
        self.noted |= {*(kinds or ())}
        return super().had(kinds)


@dataclass(frozen=True)
class Case:
    """People of a log at moments of theirs, of whom a domain may be asked.

    :param times: (U,) milliseconds since 1970 UTC.
    :param known: see :meth:`~lightrec.data.audience.Past.of`.
    :param noted: what was looked for in users, items and kinds.
    """

    users: pl.DataFrame
    items: pl.DataFrame
    times: Any
    known: Mapping[str, Any]
    kinds: list[str]
    noted: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, store: EventStore) -> "Case":
        """The first people of a log, each at the time of an event of theirs that is drawn."""
        log, rows = Sequences.chosen(store.without_cold), np.arange(min(store.num_users, PEOPLE))
        begins, lasts = log.offsets[rows], log.offsets[rows + 1]
        ends = begins + (torch.rand(len(rows)).numpy() * (lasts - begins + 1)).astype(int)
        columns: Any = {Key.HISTORY: log.items, Key.TIME: log.times, Key.FEEDBACK: log.feedback}
        known = {k: padded(x, begins, ends) for k, x in columns.items() if x is not None}
        known[Key.SO_FAR] = log.so_far(store.without_cold, ends)
        known[Key.SHOWN] = torch.randint(store.num_items + 1, (len(rows), 3)).numpy()
        times = log.times[np.minimum(ends, len(log.items) - 1)]
        return cls(store.users[rows], store.catalog, times, known, store.feedback_kinds)

    def mask(self, domain: Domain) -> Mask | None:
        """Ask a domain what may be shown to them, (U, N)."""
        past = Past.of(self.known, Names(self.kinds, self.noted["kinds"]))
        audience = Asking(
            users=Asked(self.users, self.noted["users"]),
            items=Asked(self.items, self.noted["items"]),
            time=pl.Series("time", self.times, pl.Int64).cast(pl.Datetime("ms", "UTC")),
            past=past if domain.by_history else None,
        )
        audience.noted = self.noted["kinds"]
        return domain.eligible(audience)

    def of_people(self, rows: slice) -> "Case":
        """The case of some of the people."""
        known = {key: values[rows] for key, values in self.known.items()}
        return replace(self, users=self.users[rows], times=self.times[rows], known=known)

    def renumbered(self, order: Any) -> "Case":
        """The case in which items stand in another order, kinds in the opposite one, and histories
        begin with more padding.
        """
        count = self.items.height
        numbers = np.concatenate([[PADDING], np.argsort(order) + 1, [count + 1]])
        known = {**self.known}
        for key in (Key.HISTORY, Key.SHOWN):
            known[key] = numbers[known[key]]
        if Key.FEEDBACK in known:
            kinds = known[Key.FEEDBACK]
            known[Key.FEEDBACK] = np.where(kinds > 0, len(self.kinds) + 1 - kinds, 0)
        for key in {Key.HISTORY, Key.TIME, Key.FEEDBACK} & known.keys():
            known[key] = np.pad(known[key], ((0, 0), (3, 0)))
        return replace(self, items=self.items[order], known=known, kinds=self.kinds[::-1])


class MaskChecks(BatchChecks):
    """The checks of what a domain forbids to show."""

    @cached_property
    def case(self) -> Case:
        """People of the log that the domain makes up, or else of the kit's."""
        kind: Any = type(self.make())
        if kind.eligible is Domain.eligible:
            raise DoesNotApply("It has no `eligible`.")
        return Case.of(tiny.kit_store(kind))

    @promise(
        "Compare columns of the tables as `to_numpy()`, the users' with `[:, None]`; compute each "
        "user's row from that user's values, and draw nothing by chance."
    )
    def eligible(self) -> Faults:
        """What may be shown is None or a NumPy array of bool, a row for each user and a column for
        each item, whatever is known of them and of what they did; it is the same alone, among
        others, and every time. The words that people may have are strings.
        """
        domain, case = self.make(), self.case
        tables = [table.clone() for table in (case.users, case.items)]
        bare = case.items.select(Column.ITEM, Column.TITLE, Column.TEXT)
        unknown = replace(case.of_people(slice(1)), users=case.users.clear(1))
        for who in (case, replace(case, users=case.users.select(Column.USER)), unknown):
            for things in (case.items, bare):
                mask, rows = replace(who, items=things).mask(domain), who.users.height
                shape = getattr(mask, "shape", None), getattr(mask, "dtype", None)
                if mask is not None and shape != ((rows, things.height), np.dtype(bool)):
                    yield f"For {rows} users and {things.height} items: {described(mask)}"
        whole, again = case.mask(domain), case.mask(domain)
        each = [case.of_people(slice(n, n + 1)).mask(domain) for n in range(case.users.height)]
        masks = [mask for mask in each if mask is not None]
        alone = np.concatenate(masks) if len(masks) == len(each) else None
        for name in case.users.columns:
            if not all(isinstance(word, str) for word in domain.words_of(name, case.items)):
                yield f"`words_of` gives something else than strings for {name!r}."
        yield from differences({"all": whole, "again": whole}, {"all": again, "again": alone})
        yield from differences(dict(enumerate(tables)), {0: case.users, 1: case.items})

    @promise("Correct the name, or let `synthetic` write what `eligible` reads.")
    def reads(self) -> Faults:
        """What a mask asks for is in the log, columns and kinds of events, and it forbids something
        there.
        """
        domain, case = self.make(), self.case
        mask = case.mask(domain)
        tables = {"users": case.users.columns, "items": case.items.columns, "kinds": case.kinds}
        for what, names in tables.items():
            # Whether an event has a kind is not known in a log with one.
            absent = sorted(case.noted[what] - {*names}) if names else []
            if absent:
                there = f"the log has {', '.join(names)}."
                there = f"Among {what} it asks for {', '.join(absent)}, and {there}"
                if not domain.has_synthetic:
                    raise NotChecked(f"{there} Let `synthetic` make up a log.")
                yield there
        if mask is None or mask.all():
            raise NotChecked(FORBIDS_NOTHING)
        yield Note(f"It forbids {1 - mask.mean():.0%} of the pairs of people and items of the log.")

    @promise(
        "The row of item number n in `items` is n - 1, and the name of kind k is k - 1 in "
        "`kind_names`; leave out 0, which is no item and no kind, and N + 1, which is nothing."
    )
    def renumbered(self) -> Faults:
        """What is forbidden stays so where items and kinds have other numbers, and histories
        more padding.
        """
        domain, case = self.make(), self.case
        order = torch.randperm(case.items.height).numpy()
        before, after = case.mask(domain), case.renumbered(order).mask(domain)
        if before is None or before.all():
            raise NotChecked(FORBIDS_NOTHING)
        wrong = before[:, order] != after
        if wrong.any():
            yield f"It changes for {int(wrong.sum())} of {wrong.size} pairs of people and items."
