"""The evaluator that sets simulated sessions beside the logged ones of which they are repetitions.

Where the log has impressions, a session is played anew from the same history with the same offers.
Where it has none, users choose among all items, as many times as the session did: to have been
fitted to the choice among few others, drawn evenly, leaves that law as it is (McFadden 1978,
"Modelling the choice of residential location").
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.statistics import SessionStatistics, compare
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.starts import LogStarts
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.users.user_model import UserModel


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

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``statistics/…``, see :func:`~lightrec.evaluation.statistics.compare`."""
        store = EventStore.open(run / "data").without_cold
        users = UserModel.load(run / "users_b")
        begins, ends = self._drawn(store, users.learned_from(store.num_users), seed)
        if not len(begins):
            return {}
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
        return {f"statistics/{key}": value for key, value in found.items()}

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
