"""Whether simulated sessions look like the logged ones of which they are repetitions.

Where the log has impressions, a session is played anew from the same history with the same offers.
Where it has none, users choose among all items, as many times as the session did: to have been
fitted to the choice among few others, drawn evenly, leaves that law as it is (McFadden 1978,
"Modelling the choice of residential location").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator, Findings
from lightrec.evaluation.sections import Section, Sides, Table, number
from lightrec.keys import PADDING, Key
from lightrec.run import Run
from lightrec.simulators import noise
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.users.user_model import UserModel

LENGTHS = {
    "1": (1, 1),
    "2": (2, 2),
    "3-4": (3, 4),
    "5-8": (5, 8),
    "9-16": (9, 16),
    "17-32": (17, 32),
}
"""Bins of session length, first and last length of each; longer ones are ``33+``."""
TOP = (1, 2, 5, 10, 20, 50)
"""Per cent of the items, the most frequently chosen first, whose share of the choices is given."""


@dataclass(frozen=True)
class SessionStatistics:
    """What S sessions come to.

    :param length: (S,) int64 steps of each session.
    :param session: (E,) int64, ascending: whose choice each was.
    :param item: (E,) int64 items chosen, those of a session in their order.
    :param num_items: N.
    :param category: (N + 1,) int64 category of each item, -1 where it is not known; None where the
        items have none.
    """

    length: Tensor
    session: Tensor
    item: Tensor
    num_items: int
    category: Tensor | None = None

    def lengths(self, longest: int) -> Tensor:
        """Shares (longest + 1,) of sessions of each length; longer ones count as the longest."""
        counts = self.length.clamp_max(longest).bincount(minlength=longest + 1)
        return _shares(counts)

    def popularity(self) -> Tensor:
        """Shares (N + 1,) of the choices by item."""
        return _shares(self.item.bincount(minlength=self.num_items + 1))

    def top(self, percent: float) -> float:
        """Share of the choices that fall on a part of the items, the most chosen first."""
        ranked = self.popularity()[1:].sort(descending=True).values
        return float(ranked[: max(1, round(self.num_items * percent / 100))].sum())

    def repeats(self) -> float:
        """Share of the choices whose item was chosen before in the same session."""
        if not len(self.item):
            return 0.0
        pairs = self.session * (self.num_items + 1) + self.item
        return 1 - len(pairs.unique()) / len(pairs)

    def transitions(self) -> Tensor | None:
        """Shares (K, K) of pairs of categories that follow each other within a session.

        :returns: None where there are no categories, or no session has two choices.
        """
        if self.category is None:
            return None
        kinds = self.category[self.item]
        before, after = kinds[:-1], kinds[1:]
        together = (self.session[1:] == self.session[:-1]) & (before >= 0) & (after >= 0)
        number = int(self.category.max()) + 1
        pairs = (before * number + after)[together]
        if not len(pairs):
            return None
        return _shares(pairs.bincount(minlength=number**2)).view(number, number)

    def half(self, which: int) -> "SessionStatistics":
        """Every second session, from the first or the second on."""
        kept = self.session % 2 == which
        return SessionStatistics(
            self.length[which::2],
            self.session[kept],
            self.item[kept],
            self.num_items,
            self.category,
        )


def total_variation(left: Tensor, right: Tensor) -> float:
    """Half the sum of the differences of two distributions: 0 if equal, 1 if disjoint."""
    return float((left.double() - right.double()).abs().sum() / 2)


def compare(
    real: SessionStatistics, simulated: SessionStatistics, *, lengths: bool = True
) -> dict[str, float]:
    """Compare simulated sessions with real ones, as flat keys.

    :param lengths: whether the lengths mean the same in both.
    :returns: ``NAME/total_variation`` of ``length``, ``popularity`` and ``transitions``, each with
        ``NAME/total_variation/real_halves``, the same between two halves of the real sessions, as
        which no finite number of sessions is closer; both sides' curves, such as
        ``popularity/real/top-10`` and ``length/simulated/3-4``; ``repeats`` and
        ``transitions/same``, the share of steps that stay within a category.
    """
    found: dict[str, float] = {}
    halves = real.half(0), real.half(1)
    both = {"real": real, "simulated": simulated}
    if lengths:
        longest = int(max(real.length.max(), simulated.length.max()))

        def spread(left: SessionStatistics, right: SessionStatistics) -> float:
            return total_variation(left.lengths(longest), right.lengths(longest))

        found["length/total_variation"] = spread(real, simulated)
        found["length/total_variation/real_halves"] = spread(*halves)
        for name, side in both.items():
            found[f"length/{name}"] = float(side.length.double().mean())
            shares = side.lengths(longest)
            for title, (first, last) in LENGTHS.items():
                found[f"length/{name}/{title}"] = float(shares[first : last + 1].sum())
            found[f"length/{name}/33+"] = float(shares[33:].sum())
    found["popularity/total_variation"] = total_variation(real.popularity(), simulated.popularity())
    found["popularity/total_variation/real_halves"] = total_variation(
        *(half.popularity() for half in halves)
    )
    for name, side in both.items():
        for percent in TOP:
            found[f"popularity/{name}/top-{percent}"] = side.top(percent)
        found[f"repeats/{name}"] = side.repeats()
    moves = {name: side.transitions() for name, side in both.items()}
    apart = [half.transitions() for half in halves]
    for name, pair in (("", list(moves.values())), ("/real_halves", apart)):
        if pair[0] is not None and pair[1] is not None:
            found[f"transitions/total_variation{name}"] = total_variation(pair[0], pair[1])
    for name, pairs in moves.items():
        if pairs is not None:
            found[f"transitions/same/{name}"] = float(pairs.diagonal().sum())
    return found


def _shares(counts: Tensor) -> Tensor:
    return counts.double() / counts.sum().clamp_min(1)


class LoggedOffers:
    """Shows a session's own offers again, step by step; after its end, others of the log.

    :param store: a log with candidates.
    :param begins: (S,) positions of the sessions' first offers.
    :param ends: (S,) positions after their last.
    """

    def __init__(
        self, store: EventStore, begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> None:
        assert store.candidates is not None
        self.offers = torch.from_numpy(np.array(store.candidates, dtype=np.int64))
        self.begins, self.ends = torch.from_numpy(begins), torch.from_numpy(ends)
        self.any = (self.offers[:, 0] != PADDING).nonzero().squeeze(1)

    def user_vectors(self, history: Tensor) -> Tensor:
        """Nothing is known of users."""
        return history.new_zeros(len(history), 1)

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the offer under ``action``."""
        session = state[Key.USER].cpu()
        event = self.begins[session] + state[Key.STEP].squeeze(1).cpu()
        key = noise.mix(noise.mix(state[Key.SESSION], state[Key.STEP]), -4).squeeze(1).cpu()
        other = self.any[noise.below(key, len(self.any))]
        event = torch.where(event < self.ends[session], event, other)
        return state.set(Key.ACTION, self.offers[event].to(state[Key.SESSION].device))


class SimulatedStatistics(Evaluator):
    """Plays logged sessions anew in user model B and compares how they look.

    :param sessions: at most so many sessions of users on whom B was fitted, drawn by the seed.
    :param max_steps: steps after which a session is cut, simulated or real.
    :param category: attribute of the items whose transitions are compared; of several values the
        first counts. None takes the first attribute of words that has no more than 40.
    """

    def __init__(
        self, sessions: int = 1000, max_steps: int = 40, category: str | None = None
    ) -> None:
        self.sessions, self.max_steps, self.category = sessions, max_steps, category

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``statistics/…``, see :func:`compare`."""
        store, users = run.data.without_cold, run.users_b
        begins, ends = self._drawn(store, users.learned_from(store.num_users), seed)
        if not len(begins):
            return Findings({})
        starts = LogStarts(
            torch.from_numpy(store.offsets[store.users_of(begins)]),
            torch.from_numpy(np.array(store.items)),
            ends=torch.from_numpy(begins),
        )
        kinds = store.categories(self.category)
        category = None if kinds is None else torch.from_numpy(kinds)
        real = _logged(store, begins, ends, category)
        if store.candidates is None:
            simulated = _chosen_freely(users, starts, real, seed, repeats=store.repeats)
        else:
            simulator = UserModelSimulator(
                users,
                starts,
                len(begins),
                slate_size=store.candidates.shape[1],
                # What is assumed of leaving is no statistic of the log.
                ending="fixed" if users.leaving is None else "leave",
                max_steps=self.max_steps,
                repeats=True,
            )
            simulated = _played(LoggedOffers(store, begins, ends), simulator, seed, real.category)
            if users.leaving is None:
                simulated = _as_many(simulated, real)
        found = compare(real, simulated, lengths=users.leaving is not None)
        metrics = {f"statistics/{key}": value for key, value in found.items()}
        return Findings(metrics, [section(metrics)])

    def _drawn(
        self, store: EventStore, learned: NDArray[np.bool_], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw sessions of B's users: positions of the first offer, and after the last."""
        offsets = store.session_offsets
        begins, ends = offsets[:-1], offsets[1:]
        if store.candidates is not None:
            there = np.flatnonzero(np.asarray(store.candidates[:, 0]) != PADDING)
            place = np.searchsorted(there, begins)
            first = there[np.minimum(place, len(there) - 1)]
            kept = (place < len(there)) & (first < ends)
            begins, ends = np.where(kept, first, begins)[kept], ends[kept]
        own = learned[store.users_of(begins)]
        begins, ends = begins[own], ends[own]
        drawn = np.sort(np.random.default_rng(seed).permutation(len(begins))[: self.sessions])
        return begins[drawn], np.minimum(ends[drawn], begins[drawn] + self.max_steps)


def _logged(
    store: EventStore,
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    category: Tensor | None,
) -> SessionStatistics:
    length = ends - begins
    session = np.repeat(np.arange(len(begins)), length)
    events = np.arange(length.sum()) + np.repeat(begins - (np.cumsum(length) - length), length)
    items = np.asarray(store.items)[events].astype(np.int64)
    chosen = items <= store.num_items
    return SessionStatistics(
        torch.from_numpy(length),
        torch.from_numpy(session[chosen]),
        torch.from_numpy(items[chosen]),
        store.num_items,
        category,
    )


def _played(
    policy: Contender, simulator: UserModelSimulator, seed: int, category: Tensor | None
) -> SessionStatistics:
    sessions, items = [], []

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        row, place = (following[Key.TAKEN] & alive.unsqueeze(1)).nonzero(as_tuple=True)
        sessions.append(row.cpu())
        items.append(state[Key.ACTION][row, place].cpu())

    count = simulator.batch_size[0]
    played, _ = play(policy, simulator, torch.arange(count), seed, record=note)
    session, item = torch.cat(sessions), torch.cat(items)
    # Noted step by step; a stable order by session keeps the steps' own.
    order = session.argsort(stable=True)
    length = played.length[0].long()
    return SessionStatistics(length, session[order], item[order], simulator.num_items, category)


@torch.no_grad()
def _chosen_freely(
    users: UserModel,
    starts: LogStarts,
    real: SessionStatistics,
    seed: int,
    *,
    repeats: bool,
) -> SessionStatistics:
    """Let everybody choose among all items, as often as in the real session."""
    everybody = torch.arange(starts.num_users)
    ends = starts.ends_of(everybody)
    history = starts.history(everybody, ends, users.history_length)
    open_ = torch.ones(len(everybody), users.num_items + 1, dtype=torch.bool)
    open_[:, PADDING] = False
    if not repeats:
        rows, known = starts.seen(everybody, ends)
        open_[rows, known.where(known <= users.num_items, PADDING)] = False
    session, item = [], []
    for step in range(int(real.length.max())):
        rows = (real.length > step).nonzero().squeeze(1)
        utilities = [m.utilities(m.state(history[rows]), None) for m in users.members]
        laws = [u.masked_fill(~open_[rows], -torch.inf).log_softmax(1) for u in utilities]
        key = noise.mix(noise.mix(torch.tensor(seed), rows), step).unsqueeze(1)
        luck = noise.gumbel(noise.mix(key, torch.arange(users.num_items + 1)))
        chosen = (torch.stack(laws).logsumexp(0) + luck).argmax(1)
        history[rows] = torch.cat([history[rows, 1:], chosen.unsqueeze(1)], 1)
        if not repeats:
            open_[rows, chosen] = False
        session.append(rows)
        item.append(chosen)
    rows = torch.cat(session)
    order = rows.argsort(stable=True)
    return SessionStatistics(
        real.length, rows[order], torch.cat(item)[order], real.num_items, real.category
    )


def _as_many(simulated: SessionStatistics, real: SessionStatistics) -> SessionStatistics:
    """Keep of every simulated session the first choices, as many as the real one had."""
    count = len(real.length)
    allowed = real.session.bincount(minlength=count)
    made = simulated.session.bincount(minlength=count)
    place = torch.arange(len(simulated.session)) - (made.cumsum(0) - made)[simulated.session]
    kept = place < allowed[simulated.session]
    return SessionStatistics(
        allowed,
        simulated.session[kept],
        simulated.item[kept],
        simulated.num_items,
        simulated.category,
    )


COMPARED = {
    "length/total_variation{}": "session length",
    "popularity/total_variation{}": "popularity of items",
    "transitions/total_variation{}": "transitions between categories",
}
SIDES = {
    "length/{}": "mean steps of a session",
    "repeats/{}": "choices of an item chosen before in the session",
    "transitions/same/{}": "steps that stay within a category",
    **{f"popularity/{{}}/top-{p}": f"choices of the top {p} % of items" for p in (1, 10, 50)},
}


def section(metrics: Mapping[str, float]) -> Section:
    """Show how logged sessions look when played again."""

    def rows(titles: Mapping[str, str], ends: Sequence[str]) -> list[list[str]]:
        found = {
            title: [metrics.get(f"statistics/{name.format(end)}") for end in ends]
            for name, title in titles.items()
        }
        return [[t, *map(number, pair)] for t, pair in found.items() if pair[0] is not None]

    sides = ["real", "simulated"]
    tables = [
        Table(
            ["total variation", "simulated − real", "half − half of real"],
            rows(COMPARED, ["", "/real_halves"]),
        ),
        Table(["", *sides], rows(SIDES, sides)),
    ]
    panels = {"popularity": ([f"top-{p}" for p in TOP], "share of choices by share of items (%)")}
    if "statistics/length/total_variation" in metrics:
        panels["length"] = ([*LENGTHS, "33+"], "share of sessions by steps")
    charts = [
        Sides(
            {s: [metrics[f"statistics/{name}/{s}/{tick}"] for tick in ticks] for s in sides},
            [tick.removeprefix("top-") for tick in ticks],
            label,
        )
        for name, (ticks, label) in panels.items()
    ]
    return Section(
        "Simulated and real sessions",
        "Logged sessions are played again in user model B from the same histories, with the "
        "offers of the log where it has any, else with all items. Total variation is 0 for equal "
        "distributions and 1 for disjoint ones; its value between two halves of the real sessions "
        "shows what chance alone does.",
        tables,
        charts,
        "Where the log does not say how users leave, lengths are not compared, and each session "
        "is played for as many choices as it had.",
    )
