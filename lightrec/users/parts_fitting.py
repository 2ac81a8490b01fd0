"""Fitting what users do besides choosing, from a log's sessions, where the log has the data."""

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.store import SESSION_GAP, TEST, TRAIN, pieces
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.halves import in_half
from lightrec.users.parts import NO_TIME, LeavingModel, ReturnModel, UserPart, ValueModel

Rows: TypeAlias = tuple[Tensor, ...] | None
"""Arguments of a part's ``log_likelihood``; None where there are too few."""
Fitted: TypeAlias = tuple[UserPart, dict[str, float]] | None
"""A part and its metrics; None where the log has no data for it."""

LEAST_ROWS = 50
"""Rows below which a part is not fitted."""
MOST_ROWS = 200_000
"""Rows to which a part is fitted at most, drawn by the seed."""
BATCH = 1024
"""Rows of an optimizer step."""
LEAST_STEPS = 50
"""Optimizer steps of a part at least."""
SIXTEENTH = 1000, 4
"""In a split that holds out single events, sessions of 2 ** -4 of the users test; they are drawn by
the seed and the first number."""
QUARTER = 2000, 2
"""So drawn, 2 ** -2 of the users who are fitted to say by a trial whether a part is kept."""


class SessionTable:
    """The S sessions of one half's users, and what is known of each.

    Of the users who are fitted to, nothing is known from their first held-out event on.

    :ivar begins: (S,) int64 positions of the first events.
    :ivar ends: (S,) int64 positions after the last known events.
    :ivar owners: (S,) int64 rows of the users.
    :ivar known_to: (S,) int64 positions up to which the user's events are known.
    :ivar horizon: (S,) int64 milliseconds: when the known time ends.
    :ivar held_out: (S,) whether a session is for testing.
    :ivar fitted: (S,) whether a session is for fitting.
    :ivar longest: the length at which sessions were cut; None where they were not.
    :ivar cut: (S,) whether a session may have gone on: it was cut at the longest, by the end of the
        known time, or by held-out events.
    """

    def __init__(self, data: ChoiceData) -> None:
        store = data.store
        by_time = store.meta["settings"]["split"] == "global-time"
        offsets = store.session_offsets
        of_half = in_half(store.users_of(offsets[:-1]), data.half, data.split_seed)
        self.begins, whole_ends = offsets[:-1][of_half], offsets[1:][of_half]
        self.owners = store.users_of(self.begins)
        if by_time:
            tests = store.events(TEST)
            self.held_out = np.searchsorted(tests, self.begins) < np.searchsorted(tests, whole_ends)
        else:
            self.held_out = _part(self.owners, data.split_seed, SIXTEENTH)
        all_events = store.offsets[self.owners + 1]
        self.known_to = np.where(self.held_out, all_events, store.train_ends()[self.owners])
        self.ends = np.minimum(whole_ends, self.known_to)
        truncated = whole_ends > self.known_to
        self.fitted = ~self.held_out & (self.begins < self.known_to)
        if not by_time:
            # Where the last events are held out, so is the time at which the session ended. Such a
            # session shows nothing of leaving: the split, and not its user, ended it.
            truncated = (whole_ends >= self.known_to) & (self.known_to < all_events)
            self.fitted &= ~truncated
        self.by_time = by_time
        times = np.asarray(store.times)
        self.horizon = np.where(self.held_out, times.max(), times[store.events(TRAIN)].max())
        lengths = self.ends - self.begins
        self.longest = data.longest_session or _longest(lengths[self.fitted & ~truncated])
        self.cut = truncated | (lengths >= (self.longest or np.inf))
        if not store.has_sessions and store.has_times:
            self.cut |= times[self.ends - 1] + SESSION_GAP > self.horizon


def _part(owners: NDArray[np.int64], split_seed: int, part: tuple[int, int]) -> NDArray[np.bool_]:
    """Which users (S,) are in a part of all, such as :data:`SIXTEENTH`, halved so often."""
    first, halvings = part
    each = [in_half(owners, "a", split_seed + first + n) for n in range(halvings)]
    return np.logical_and.reduce(each)


def _longest(lengths: NDArray[np.int64]) -> int | None:
    """Find the length at which sessions were cut; None where they were not.

    That is the longest, above one step, of at least twice as many sessions as are one step shorter,
    and of one in a hundred of all: people do not leave like that.
    """
    counts = np.bincount(lengths, minlength=2)
    piled = counts[-1] >= max(2 * counts[-2], 2, 0.01 * len(lengths))
    return len(counts) - 1 if piled and len(counts) > 2 else None


class UserParts:
    """Fits the parts for which a log has the data, to the states of a fitted choice model.

    :param epochs: passes over the rows.
    """

    def __init__(self, model: ChoiceModel, data: ChoiceData, epochs: int = 5) -> None:
        self.model, self.data, self.epochs = model, data, epochs
        self.store = data.store
        self.table = SessionTable(data)
        self.device = model.bias.device
        accepted = np.asarray(self.store.items) <= self.store.num_items
        self.accepted_before = np.concatenate([[0], np.cumsum(accepted)])  # (E + 1,)

    def fit(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Fit every part, and keep those that beat one law for everybody.

        That is seen in a trial, fitted to three quarters of the users and judged by the others;
        held-out rows, of which the metrics are, choose nothing.

        :returns: the parts, by their names in a :class:`~lightrec.users.user_model.UserModel`; and
            metrics such as ``leaving/log_likelihood`` and ``leaving/constant``: means over held-out
            rows, in nats, of the part and of one law for everybody.
        """
        parts: dict[str, UserPart] = {}
        metrics: dict[str, float] = {}
        for argument, name, fit in (
            ("leaving", "leaving", self.leaving),
            ("valuing", "value", self.value),
            ("returning", "return", self.returning),
        ):
            if (fitted := fit()) is not None:
                part, measured = fitted
                metrics |= {f"{name}/{key}": value for key, value in measured.items()}
                tried = fit(trial=True)
                if tried is not None and tried[1]["log_likelihood"] > tried[1]["constant"]:
                    parts[argument] = part
        return parts, metrics

    def _sessions(self, trial: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which sessions (S,) are fitted to, and which judge."""
        table = self.table
        if not trial:
            return table.fitted, table.held_out
        judges = _part(table.owners, self.data.split_seed, QUARTER)
        return table.fitted & ~judges, table.fitted & judges

    def leaving(self, trial: bool = False) -> Fitted:
        """Fit leaving; None in a log without declined slates, which lacks steps."""
        table = self.table
        lengths = table.ends - table.begins
        if not self.store.has_nothing or lengths.max(initial=0) < 2 or table.cut.all():
            return None
        part = LeavingModel(self.model.state_size, int(min(64, lengths.max()))).to(self.device)
        fit, test = map(self._leaving_rows, self._sessions(trial))
        if fit is None or fit[0].sum() < LEAST_ROWS or (trial and test is None):
            return None
        part.standardise(*fit[1:])
        measured = self._learn(part, fit, test)
        rate, ends = fit[0].double().mean(), (test or fit)[0].double()
        measured["constant"] = float((ends * rate.log() + (1 - ends) * (1 - rate).log()).mean())
        return part, measured

    def _leaving_rows(self, chosen: NDArray[np.bool_]) -> Rows:
        table = self.table
        # The session of each event, and the events of all sessions one after the other.
        session, events = pieces(table.begins, np.where(chosen, table.ends, table.begins))
        last = events == table.ends[session] - 1
        used = self._used(events, table.fitted[session])
        rows = self._some(np.flatnonzero(used & ~(last & table.cut[session])))
        if not len(rows):
            return None
        accepted = np.diff(self.accepted_before)[events[rows]]
        return (
            self._tensor(last[rows]),
            *self._after(session[rows], events[rows] + 1),
            self._tensor(accepted)[:, None].float(),
        )

    def value(self, trial: bool = False) -> Fitted:
        """Fit values of choices; None where all are the same."""
        fit, test = map(self._value_rows, self._choices(trial))
        if fit is None or float(fit[0].std()) == 0 or (trial and test is None):
            return None
        sizes = fit[2].shape[1], self.model.num_items
        part = ValueModel(self.model.state_size, *sizes).to(self.device)
        part.center.copy_(fit[0].mean())
        part.spread.copy_(fit[0].std())
        part.standardise(*fit[1:])
        measured = self._learn(part, fit, test)
        standard = ((test or fit)[0].double() - fit[0].double().mean()) / fit[0].double().std()
        constant = -standard.square() / 2 - part.spread.double().log()
        measured["constant"] = float(constant.mean()) - float(np.log(2 * np.pi) / 2)
        return part, measured

    def _choices(self, trial: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the events that are fitted to, and of those that judge."""
        fit, test = self.data.events(TRAIN), self.data.events(TEST)
        if self.store.goal_kinds:
            # Held out are events of the goal alone, whose worth is not that of any choice.
            tests = _part(self.store.users_of(fit), self.data.split_seed, SIXTEENTH)
            fit, test = fit[~tests], fit[tests]
        if trial:
            judges = _part(self.store.users_of(fit), self.data.split_seed, QUARTER)
            fit, test = fit[~judges], fit[judges]
        return fit, test

    def _value_rows(self, events: NDArray[np.int64]) -> Rows:
        items = np.asarray(self.store.items)
        events = self._some(events[items[events] <= self.store.num_items])
        if len(events) < LEAST_ROWS:
            return None
        taken = self._tensor(items[events].astype(np.int64))
        with torch.no_grad():
            features, _ = self.model.item_features()
        states = self._states(self.store.users_of(events), events)
        return self._tensor(np.array(self.store.strengths[events])), states, features[taken], taken

    def returning(self, trial: bool = False) -> Fitted:
        """Fit times until the next session; None where too few users have several.

        Users who are not seen again are censored in a split by time; in any other the last events
        of all users are held out, and only users who come back count.
        """
        if not self.store.has_times:
            return None
        fit, test = map(self._return_rows, self._sessions(trial))
        if fit is None or fit[1].sum() < LEAST_ROWS or (trial and test is None):
            return None
        logs = fit[0][fit[1]].clamp_min(1).log()
        if float(logs.std()) < 1e-2:
            return None
        times = np.asarray(self.store.times)[self.data.training]
        span = (int(times.max()) - int(times.min())) / 1000
        part = ReturnModel(self.model.state_size, longest=max(span, NO_TIME)).to(self.device)
        alike = ReturnModel(0).to(self.device)
        for each in (part, alike):
            each.linear.bias.data.copy_(torch.stack([logs.mean(), logs.std().log()]))
        part.standardise(*fit[2:])
        measured = self._learn(part, fit, test)
        # Without states, and with numbers that are all the same.
        rows = [(*x[:2], x[2][:, :0], *map(torch.ones_like, x[3:])) for x in (fit, test or fit)]
        same = self._learn(alike, rows[0], rows[1])
        return part, measured | {"constant": same["log_likelihood"]}

    def _return_rows(self, chosen: NDArray[np.bool_]) -> Rows:
        table, times = self.table, np.asarray(self.store.times)
        used = self._used(table.ends - 1, table.fitted)
        if not table.by_time:
            used &= table.ends < table.known_to
        rows = self._some(np.flatnonzero(used & chosen & ~table.cut))
        if not len(rows):
            return None
        ends = table.ends[rows]
        seen = ends < table.known_to[rows]
        following = np.where(seen, times[np.minimum(ends, len(times) - 1)], table.horizon[rows])
        seconds = ((following - times[ends - 1]) / 1000).astype(np.float32)
        return self._tensor(seconds), self._tensor(seen), *self._after(rows, ends)

    def _after(self, sessions: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[Tensor, ...]:
        """States (R, S), and (R, 1) steps and accepted items, of sessions (R,) up to ends (R,)."""
        begins = self.table.begins[sessions]
        accepted = self.accepted_before[ends] - self.accepted_before[begins]
        return (
            self._states(self.table.owners[sessions], ends),
            self._tensor(ends - begins)[:, None],
            self._tensor(accepted)[:, None].float(),
        )

    def _used(self, events: NDArray[np.int64], fitted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether events (E,) are used: in sessions that are fitted to, the chosen ones alone."""
        if self.data.chosen is None:
            return np.ones(len(events), bool)
        return ~fitted | np.isin(events, self.data.training)

    def _some(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(rows) <= MOST_ROWS:
            return rows
        drawn = np.random.default_rng(self.data.seed).permutation(len(rows))[:MOST_ROWS]
        return rows[np.sort(drawn)]

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    @torch.no_grad()
    def _states(self, owners: NDArray[np.int64], ends: NDArray[np.int64]) -> Tensor:
        states = []
        for rows in np.split(np.arange(len(ends)), range(4096, len(ends), 4096)):
            history = self.store.histories(owners[rows], ends[rows], self.model.history_length)
            states.append(self.model.state(self._tensor(history)))
        return torch.cat(states)

    def _learn(self, part: UserPart, fit: tuple[Tensor, ...], test: Rows) -> dict[str, float]:
        """Maximise the log-posterior of a part, which is left in evaluation mode.

        :param fit: arguments of its ``log_likelihood``, R rows each.
        :returns: the log-likelihood of held-out rows, else of these.
        """
        optimizer = torch.optim.Adam(part.parameters(), 1e-2)
        generator = torch.Generator().manual_seed(self.data.seed)
        count, batch = len(fit[0]), min(BATCH, len(fit[0]))
        # Few rows are passed over more often, until as many steps are made.
        epochs = max(self.epochs, LEAST_STEPS * batch // count)
        total = epochs * -(-count // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, max(total, 2))
        with torch.enable_grad():
            for _ in range(epochs):
                for rows in torch.randperm(count, generator=generator).split(batch):
                    rows = rows.to(fit[0].device)
                    likely = part.log_likelihood(*(x[rows] for x in fit))
                    loss = -likely.mean() + part.prior() / count
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
        part.eval()
        shown = test or fit
        with torch.no_grad():
            likelihood = part.log_likelihood(*shown).double().mean()
        return {"log_likelihood": float(likelihood), "rows": float(len(shown[0]))}
