"""Fitting what users do besides choosing, from a log's sessions.

Each part is fitted where the log can tell, and left out elsewhere. Leaving needs a log that records
slates of which nothing was chosen: in any other, the steps between two choices are not there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import SESSION_GAP, TEST, TRAIN, EventStore, Integers
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.halves import in_half
from lightrec.users.parts import (
    NO_TIME,
    LeavingModel,
    ReturnModel,
    UserPart,
    ValueModel,
)

LEAST = 50
"""A part is fitted to no fewer rows."""
MOST = 200_000
"""A part is fitted to no more rows, drawn by the seed."""
LEAST_STEPS = 50
SIXTEENTH = 4
"""Where the split leaves parts of sessions to test on, whole sessions of 2 ** -4 of users are."""


@dataclass(frozen=True)
class SessionTable:
    """The sessions of one half's users, with what is known of each.

    Of the users who are fitted to, nothing is known from their first held-out event on.

    :param store: the log.
    :param data: whose half of the users is taken.
    """

    store: EventStore
    data: ChoiceData

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """(S,) int64 positions of the first events."""
        offsets = self.store.session_offsets[:-1]
        owners = self.store.users_of(offsets)
        return offsets[in_half(owners, self.data.half, self.data.split_seed)]

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """(S,) int64 rows of the users."""
        return self.store.users_of(self.begins)

    @cached_property
    def whole_ends(self) -> NDArray[np.int64]:
        """(S,) int64 positions after the last events, held-out ones included."""
        offsets = self.store.session_offsets
        return offsets[np.searchsorted(offsets, self.begins) + 1]

    @cached_property
    def known_to(self) -> NDArray[np.int64]:
        """(S,) int64 positions up to which the user's events are known."""
        all_events = self.store.offsets[self.owners + 1]
        return np.where(self.held_out, all_events, self.store.train_ends()[self.owners])

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(S,) int64 positions after the last events that are known."""
        return np.minimum(self.whole_ends, self.known_to)

    @cached_property
    def horizon(self) -> NDArray[np.int64]:
        """(S,) int64 milliseconds: when the time ends of which something is known."""
        times = np.asarray(self.store.times)
        train = times[self.store.events(TRAIN)]
        return np.where(self.held_out, times.max(), train.max())

    @cached_property
    def longest(self) -> int | None:
        """The length at which sessions were cut; None where they were not.

        What the data says; else the longest there is, where at least twice as many sessions have
        it as are one step shorter, and one in a hundred of all: people do not leave like that.
        """
        lengths = (self.ends - self.begins)[self.fitted & ~self._truncated]
        if self.data.longest_session is not None or not len(lengths):
            return self.data.longest_session
        counts = np.bincount(lengths, minlength=2)
        piled = counts[-1] >= max(2 * counts[-2], 2, 0.01 * len(lengths))
        # Sessions of one step all pile up there, and are not cut for that.
        return len(counts) - 1 if piled and len(counts) > 2 else None

    @cached_property
    def cut(self) -> NDArray[np.bool_]:
        """(S,) whether a session may have gone on.

        It was cut at the longest, by the end of the time that is known, or by what is held out.
        """
        cut = self._truncated.copy()
        if self.longest is not None:
            cut |= self.ends - self.begins >= self.longest
        if not self.store.has_sessions and self.store.has_times:
            cut |= np.asarray(self.store.times)[self.ends - 1] + SESSION_GAP > self.horizon
        return cut

    @cached_property
    def _truncated(self) -> NDArray[np.bool_]:
        """(S,) whether what followed in a session, or when that was, is held out."""
        if self.by_time:
            return self.whole_ends > self.known_to
        return (self.whole_ends >= self.known_to) & (
            self.known_to < self.store.offsets[self.owners + 1]
        )

    @cached_property
    def held_out(self) -> NDArray[np.bool_]:
        """(S,) whether a session is for testing.

        In a split by time those with test events are; else those of some users drawn by a hash,
        since a session of which single events are held out is none.
        """
        if self.by_time:
            events = self.store.events(TEST)
            return np.searchsorted(events, self.begins) < np.searchsorted(events, self.whole_ends)
        seeds = [self.data.split_seed + 1000 + n for n in range(SIXTEENTH)]
        return np.logical_and.reduce([in_half(self.owners, "a", seed) for seed in seeds])

    @cached_property
    def fitted(self) -> NDArray[np.bool_]:
        """(S,) whether a session is for fitting: it begins before anything is held out.

        What single held-out events cut short says nothing of leaving: the cut follows from the end.
        """
        begun = ~self.held_out & (self.begins < self.known_to)
        return begun if self.by_time else begun & ~self._truncated

    @property
    def by_time(self) -> bool:
        """Whether the log is split at a moment, the same for all users."""
        return bool(self.store.meta["settings"]["split"] == "global-time")


def rows_of(
    begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Events (E,) of sessions one after the other, and the number (E,) of the session of each."""
    lengths = ends - begins
    session = np.repeat(np.arange(len(begins)), lengths)
    first = np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    return np.arange(lengths.sum()) + first, session


class UserParts:
    """Fits the parts that a log can tell of.

    :param model: a choice model that is fitted.
    :param data: its data; whose half of the users, histories and splits are taken.
    :param epochs: passes over the rows.
    """

    def __init__(self, model: ChoiceModel, data: ChoiceData, epochs: int = 5) -> None:
        self.model, self.data, self.epochs = model, data, epochs
        self.store = data.store
        self.table = SessionTable(data.store, data)
        self.device = model.bias.device

    def fit(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Fit every part that the log can tell of, and keep what beats one law for everybody.

        :returns: the parts, by their names in a :class:`~lightrec.users.user_model.UserModel`; and
            metrics, ``leaving/log_likelihood`` next to ``leaving/constant``, and so on: means over
            held-out rows, in nats, of the part and of a law that is the same for everybody.
        """
        parts: dict[str, UserPart] = {}
        metrics: dict[str, float] = {}
        for argument, name, fit in (
            ("leaving", "leaving", self.leaving),
            ("valuing", "value", self.value),
            ("returning", "return", self.returning),
        ):
            found = fit()
            if found is None:
                continue
            part, told = found
            if told["log_likelihood"] > told["constant"]:
                parts[argument] = part
            metrics |= {f"{name}/{key}": value for key, value in told.items()}
        return parts, metrics

    def leaving(self) -> tuple[LeavingModel, dict[str, float]] | None:
        """Fit leaving; None where slates without a choice are not in the log."""
        table = self.table
        if not self.store.has_nothing:
            return None
        lengths = table.ends - table.begins
        if not len(lengths) or lengths.max() < 2 or table.cut.all():
            return None
        steps = int(min(64, lengths.max()))
        part = LeavingModel(self.model.state_size, steps).to(self.device)
        fit, test = self._leaving_rows(table.fitted), self._leaving_rows(table.held_out)
        if fit is None or fit[0].sum() < LEAST:
            return None
        part.standardise(*part.inputs(*fit[1:]))
        told = self._learn(part, part.log_likelihood, fit, test)
        rate = fit[0].double().mean()
        ends = (fit if test is None else test)[0].double()
        told["constant"] = float((ends * rate.log() + (1 - ends) * (1 - rate).log()).mean())
        return part, told

    def _leaving_rows(self, chosen: NDArray[np.bool_]) -> tuple[Tensor, ...] | None:
        table = self.table
        begins, ends, cut = table.begins[chosen], table.ends[chosen], table.cut[chosen]
        if not len(begins):
            return None
        events, session = rows_of(begins, ends)
        accepted = np.asarray(self.store.items)[events] <= self.store.num_items
        total = np.cumsum(accepted)
        before: NDArray[np.int64] = (total - accepted)[events == begins[session]]
        step = events - begins[session] + 1
        last = events == ends[session] - 1
        used = self._used(events, table.fitted[chosen][session])
        kept = self._some(np.flatnonzero(used & ~(last & cut[session])))
        owners = self.store.users_of(events[kept])
        return (
            torch.from_numpy(last[kept]).to(self.device),
            self._states(owners, events[kept] + 1),
            torch.from_numpy(step[kept])[:, None].to(self.device),
            torch.from_numpy(total[kept] - before[session[kept]])[:, None].float().to(self.device),
            torch.from_numpy(accepted[kept])[:, None].float().to(self.device),
        )

    def value(self) -> tuple[ValueModel, dict[str, float]] | None:
        """Fit values of what was chosen; None where all are the same."""
        fit, test = self._value_rows(TRAIN), self._value_rows(TEST)
        if fit is None or float(fit[0].std()) == 0:
            return None
        features = fit[2].shape[1]
        part = ValueModel(self.model.state_size, features, self.model.num_items).to(self.device)
        part.center.copy_(fit[0].mean())
        part.spread.copy_(fit[0].std())
        part.standardise(*fit[1:3])
        told = self._learn(part, part.log_likelihood, fit, test)
        shown = (fit if test is None else test)[0].double()
        standard = (shown - fit[0].double().mean()) / fit[0].double().std()
        constant = -standard.square() / 2 - part.spread.double().log()
        told["constant"] = float(constant.mean()) - float(np.log(2 * np.pi) / 2)
        return part, told

    def _value_rows(self, which: int) -> tuple[Tensor, ...] | None:
        events = self.data.events(which)
        items = np.asarray(self.store.items)[events]
        events = self._some(events[items <= self.store.num_items])
        if len(events) < LEAST:
            return None
        taken = torch.from_numpy(np.asarray(self.store.items)[events].astype(np.int64))
        taken = taken.to(self.device)
        with torch.no_grad():
            features, _ = self.model.item_features()
        values = torch.from_numpy(np.array(self.store.strengths[events])).to(self.device)
        states = self._states(self.store.users_of(events), events)
        return values, states, features[taken], taken

    def returning(self) -> tuple[ReturnModel, dict[str, float]] | None:
        """Fit times until the next session; None where too few users have several.

        In a split by time, who is not seen again is censored. In any other, the last events of all
        users are held out, and the times are those of users who come back.
        """
        if not self.store.has_times:
            return None
        table = self.table
        fit, test = self._return_rows(table.fitted), self._return_rows(table.held_out)
        if fit is None or fit[1].sum() < LEAST:
            return None
        logs = fit[0][fit[1]].clamp_min(1).log()
        if float(logs.std()) < 1e-2:
            return None
        times = np.asarray(self.store.times)[self.data.training]
        span = (int(times.max()) - int(times.min())) / 1000
        part = ReturnModel(self.model.state_size, longest=max(span, NO_TIME)).to(self.device)
        part.linear.bias.data.copy_(torch.stack([logs.mean(), logs.std().log()]))
        part.standardise(*part.inputs(*fit[2:]))
        told = self._learn(part, part.log_likelihood, fit, test)
        alike = ReturnModel(0).to(self.device)
        alike.linear.bias.data.copy_(torch.stack([logs.mean(), logs.std().log()]))
        told["constant"] = self._learn(
            alike, alike.log_likelihood, _alike(fit), None if test is None else _alike(test)
        )["log_likelihood"]
        return part, told

    def _return_rows(self, chosen: NDArray[np.bool_]) -> tuple[Tensor, ...] | None:
        table, times = self.table, np.asarray(self.store.times)
        used = self._used(table.ends - 1, table.fitted)
        if not table.by_time:
            used &= table.ends < table.known_to
        rows = self._some(np.flatnonzero(used & chosen & ~table.cut))
        if not len(rows):
            return None
        begins, ends, owners = table.begins[rows], table.ends[rows], table.owners[rows]
        seen = ends < table.known_to[rows]
        following = np.where(seen, times[np.minimum(ends, len(times) - 1)], table.horizon[rows])
        seconds = (following - times[ends - 1]) / 1000
        took = np.concatenate(
            [[0], np.cumsum(np.asarray(self.store.items) <= self.store.num_items)]
        )
        return (
            torch.from_numpy(seconds).float().to(self.device),
            torch.from_numpy(seen).to(self.device),
            self._states(owners, ends),
            torch.from_numpy(ends - begins)[:, None].to(self.device),
            torch.from_numpy(took[ends] - took[begins])[:, None].float().to(self.device),
        )

    def _used(self, events: NDArray[np.int64], fitted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether events (E,) are used: in sessions that are fitted to, the chosen ones alone."""
        if self.data.chosen is None:
            return np.ones(len(events), bool)
        return ~fitted | np.isin(events, self.data.training)

    def _some(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(rows) <= MOST:
            return rows
        drawn = np.random.default_rng(self.data.seed).permutation(len(rows))[:MOST]
        return rows[np.sort(drawn)]

    @torch.no_grad()
    def _states(self, owners: Integers, ends: Integers, batch_size: int = 4096) -> Tensor:
        found = []
        for at in range(0, len(ends), batch_size):
            rows = slice(at, at + batch_size)
            history = self.store.histories(owners[rows], ends[rows], self.model.history_length)
            found.append(self.model.state(torch.from_numpy(history).to(self.device)))
        return torch.cat(found)

    def _learn(
        self,
        part: UserPart,
        log_likelihood: Callable[..., Tensor],
        fit: tuple[Tensor, ...],
        test: tuple[Tensor, ...] | None,
        batch_size: int = 1024,
    ) -> dict[str, float]:
        """Maximise the log-posterior; give the log-likelihood of held-out rows, else of these."""
        optimizer = torch.optim.Adam(part.parameters(), 1e-2)
        generator = torch.Generator().manual_seed(self.data.seed)
        count, batch = len(fit[0]), min(batch_size, len(fit[0]))
        # Few rows are passed over more often, until as many steps are made.
        epochs = max(self.epochs, LEAST_STEPS * batch // count)
        total = epochs * -(-count // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, max(total, 2))
        with torch.enable_grad():
            for _ in range(epochs):
                for rows in torch.randperm(count, generator=generator).split(batch):
                    rows = rows.to(self.device)
                    loss = -log_likelihood(*(x[rows] for x in fit)).mean() + part.prior() / count
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
        part.eval()
        with torch.no_grad():
            shown = fit if test is None else test
            found = log_likelihood(*shown).double().mean()
        return {"log_likelihood": float(found), "rows": float(len(shown[0]))}


def _alike(rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Take from rows of returns all by which users and sessions differ."""
    seconds, seen, state, *numbers = rows
    return seconds, seen, state[:, :0], *map(torch.ones_like, numbers)
