"""Whole sessions of policies in a simulator: judged under the same chance, and written as a log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.log import InteractionLog
from lightrec.keys import PADDING, Column, Key
from lightrec.moved import old_names
from lightrec.simulators.session_env import HIDDEN, SessionEnv

__getattr__ = old_names(__name__)
RewardFunction = Callable[[Tensor, Tensor], Tensor]
"""From histories (B, L) and accepted items (B, 1) to rewards (B, 1)."""

Recorder = Callable[[TensorDictBase, TensorDictBase, Tensor], None]
"""Called at each step: the state with its slate, what followed, and which sessions were on (B,)."""
START = datetime(2020, 1, 1, tzinfo=UTC)
"""When day 0 begins; steps are a second apart, rounds of sessions a day."""
DAY = 24 * 3600
CHOICE, SKIP = "choice", "skip"


class ActingPolicy(Protocol):
    """A policy as judging plays it.

    One that reads histories has ``user_vectors``, which sums them (B, L) up in (B, D).
    """

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write a slate under ``action``; may use the key ``user_vector``."""


class UserMemory:
    """Reads histories again only where they have changed.

    :param read: gives a row (D,) for each history of (B, L), padded on the left, of any L. It must
        not change in between.
    """

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        self.read = read
        self._history: Tensor | None = None
        self._rows = torch.empty(0)

    def __call__(self, history: Tensor) -> Tensor:
        """Rows (B, D) of the same sessions' histories (B, L)."""
        if self._history is None or self._history.shape != history.shape:
            self._rows = self._read(history)
        else:
            changed = (history != self._history).any(1).nonzero().squeeze(1)
            if len(changed):
                # Out of place: earlier steps' rows are still in use.
                fresh = self._read(history[changed])
                self._rows = self._rows.index_copy(0, changed, fresh)
        self._history = history
        return self._rows

    def _read(self, history: Tensor) -> Tensor:
        """Read histories without the columns in which all are padded."""
        longest = int((history != PADDING).sum(1).max())
        return self.read(history[:, -max(longest, 1) :])


@dataclass(frozen=True)
class Sessions:
    """Results of one policy: R seeds, U users."""

    accepted: Tensor
    """(R, U) float32: items accepted in a session."""
    reward: Tensor
    """(R, U) float32: sum of the simulator's own reward."""
    length: Tensor
    """(R, U) float32: steps."""
    learned: Mapping[str, Tensor]
    """By name, (R, U) float32: sums of further rewards of what was accepted."""
    coverage: float
    """Share of the catalog that was shown to anybody."""
    repeats: float = 0.0
    """Share of what was accepted that had been accepted before in its session."""

    def metrics(self) -> dict[str, float]:
        """Means over all sessions.

        ``per_step``, the click rate, is accepted items per step overall; ``accepting`` the share
        of sessions with an accepted item.
        """
        return {
            "accepted": float(self.accepted.mean()),
            "accepting": float((self.accepted > 0).float().mean()),
            "return": float(self.reward.mean()),
            "length": float(self.length.mean()),
            "per_step": float(self.accepted.sum() / self.length.sum()),
            "coverage": self.coverage,
            "repeats": self.repeats,
            **{name: float(total.mean()) for name, total in self.learned.items()},
        }

    def of_users(self, chosen: Tensor) -> "Sessions":
        """Only the sessions of some users; the coverage stays that of all.

        :param chosen: ``(U,)`` bool.
        """
        return replace(
            self,
            accepted=self.accepted[:, chosen],
            reward=self.reward[:, chosen],
            length=self.length[:, chosen],
            learned={name: total[:, chosen] for name, total in self.learned.items()},
        )

    def user_means(self) -> dict[str, Tensor]:
        """Each user's means over the seeds ``(U,)``, by metric."""
        totals = {"accepted": self.accepted, "length": self.length, "return": self.reward}
        means = {name: total.mean(0) for name, total in {**totals, **self.learned}.items()}
        return means | {"per_step": self.accepted.sum(0) / self.length.sum(0)}


@torch.no_grad()
def play(
    policy: ActingPolicy,
    simulator: SessionEnv,
    users: Tensor,
    seed: int,
    *,
    rewards: Mapping[str, RewardFunction] | None = None,
    deterministic: bool = True,
    record: Recorder | None = None,
) -> tuple[Sessions, Tensor]:
    """Play one session of every user.

    Policies see no truth of a world, unless they have an attribute ``knows_truth`` that is True.

    :param simulator: with a session for each user.
    :param users: ``(U,)`` int64.
    :param rewards: further rewards of accepted items, by name.
    :param deterministic: show the items of highest score, or draw slates.
    :param record: is called at every step.
    :returns: the sessions with R = 1, and ``(N + 1,)`` bool, what was shown.
    """
    simulator.fix(users, seed)
    state = simulator.reset()
    count, device = len(users), state.device or torch.device("cpu")
    alive = torch.ones(count, dtype=torch.bool, device=device)
    accepted, reward, length = torch.zeros(3, count, device=device)
    items = getattr(simulator, "num_items", 0)
    shown = torch.zeros(items + 1, dtype=torch.bool, device=device)
    choices: list[tuple[Tensor, Tensor, Tensor]] = []
    chosen = [torch.zeros(0, dtype=torch.int64, device=device)]
    hidden = () if getattr(policy, "knows_truth", False) else HIDDEN
    read = getattr(policy, "user_vectors", None)
    memory = UserMemory(read) if items and read is not None else None
    for _ in range(simulator.max_steps):
        if memory is not None:
            state[Key.USER_VECTOR] = memory(state[Key.HISTORY])
        slate_size = getattr(simulator, "slate_size", 1)
        acted = policy.act(state.exclude(*hidden), slate_size, deterministic)
        state[Key.ACTION] = acted[Key.ACTION]
        following = simulator.step(state)["next"]
        if record is not None:
            record(acted, following, alive)
        total = following[Key.ACCEPTED_TOTAL].squeeze(1)
        accepted = torch.where(alive, total, accepted)
        reward += following["reward"].squeeze(1) * alive
        length += alive
        if items:
            shown[state[Key.ACTION][alive]] = True
            row, place = (following[Key.TAKEN] & alive.unsqueeze(1)).nonzero(as_tuple=True)
            taken = state[Key.ACTION][row, place]
            chosen.append(row * (items + 1) + taken)
            if rewards:
                choices.append((row, state[Key.HISTORY][row], taken))
        alive = alive & ~following["done"].squeeze(1)
        if not alive.any():
            break
        before, state = state, following.exclude("reward")
        if items:  # what is over stays as it was, so that nobody reads it again
            history = state[Key.HISTORY]
            state[Key.HISTORY] = history.where(alive.unsqueeze(1), before[Key.HISTORY])
    shown[0] = False
    learned = _learned(choices, rewards, count) if rewards else {}
    accepted, reward, length = (x.unsqueeze(0).cpu() for x in (accepted, reward, length))
    share = float(shown.sum() / max(items, 1))
    accepts = torch.cat(chosen)
    again = (len(accepts) - len(accepts.unique())) / max(len(accepts), 1)
    return Sessions(accepted, reward, length, learned, share, again), shown.cpu()


def _learned(
    choices: Sequence[tuple[Tensor, Tensor, Tensor]],
    rewards: Mapping[str, RewardFunction],
    count: int,
    batch_size: int = 8192,
) -> dict[str, Tensor]:
    """Sum rewards of what was accepted, (1, U) by name; all steps at once, which is cheaper."""
    rows, histories, items = (torch.cat(parts) for parts in zip(*choices, strict=True))
    sums = {}
    for name, function in rewards.items():
        total = torch.zeros(count, device=rows.device)
        for part in torch.arange(len(rows), device=rows.device).split(batch_size):
            values = function(histories[part], items[part].unsqueeze(1)).squeeze(1)
            total.index_add_(0, rows[part], values.float())
        sums[name] = total.unsqueeze(0).cpu()
    return sums


def judge(
    policies: Mapping[str, ActingPolicy],
    simulator: SessionEnv,
    users: Tensor,
    seeds: Sequence[int],
    **how: Any,
) -> dict[str, Sessions]:
    """Play the sessions of several policies on the same users, under the same chance.

    :param policies: the policies by name.
    :param seeds: one round of sessions for each.
    :param how: ``rewards``, ``deterministic`` and ``record``, as for :func:`play`.
    :returns: sessions by policy.
    """
    judged = {}
    for name, policy in policies.items():
        rounds = []
        for seed in seeds:
            # Policies that draw do so from torch's generator; each round seeds it again.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                rounds.append(play(policy, simulator, users, seed, **how))
        shown = torch.stack([shown for _, shown in rounds]).any(0)
        sessions = together([sessions for sessions, _ in rounds])
        judged[name] = replace(sessions, coverage=float(shown.sum() / simulator.num_items))
    return judged


Refits = Sequence[Sessions]
"""The sessions of one policy in each of J refits of a simulator, with the same users."""


def together(refits: Refits) -> Sessions:
    """All refits' sessions as one, with the means of their coverages and repeats."""
    return Sessions(
        torch.cat([played.accepted for played in refits]),
        torch.cat([played.reward for played in refits]),
        torch.cat([played.length for played in refits]),
        {key: torch.cat([played.learned[key] for played in refits]) for key in refits[0].learned},
        sum(played.coverage for played in refits) / len(refits),
        sum(played.repeats for played in refits) / len(refits),
    )


class SessionLog:
    """Collects the steps of sessions, and makes them a log with positions and propensities.

    A step becomes one event for each item that the user took from the slate, with its value, or one
    event if the user took nothing. All have the propensity of the whole slate.

    :param items: names of the items 1 to N.
    :param users: names of the users by their number; None makes each session a user of its own.
    :param day: of the first round of sessions, from 0.
    """

    def __init__(
        self, items: Sequence[str], users: Sequence[str] | None = None, day: int = 0
    ) -> None:
        self.items, self.users = pl.Series(items), users
        self._rounds = day
        self._steps: list[dict[str, Tensor]] = []

    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Collect a step, as a :data:`~lightrec.simulators.rollout.Recorder`.

        A first step begins a further session of every user.
        """
        self._rounds += not state[Key.STEP].any()
        step = {
            "round": torch.full_like(state[Key.USER], self._rounds - 1),
            "user": state[Key.USER],
            "step": state[Key.STEP].squeeze(1),
            "slate": state[Key.ACTION],
            "taken": following[Key.TAKEN],
            "value": following[Key.VALUE],
            "log_probability": state[Key.LOG_PROBABILITY],
        }
        self._steps.append({name: values[alive].cpu() for name, values in step.items()})

    def log(self) -> InteractionLog:
        """Return everything collected as a log, in the order of users and time."""
        steps = {name: torch.cat([s[name] for s in self._steps]).numpy() for name in self._steps[0]}
        order = np.lexsort((steps["step"], steps["round"], steps["user"]))
        steps = {name: values[order] for name, values in steps.items()}
        session = pl.Series("session", steps["user"]).cast(pl.String)
        if self.users is None or self._rounds > 1:
            session = session + "-" + pl.Series(steps["round"]).cast(pl.String)
        user = session if self.users is None else pl.Series(self.users).gather(steps["user"])
        shown = pl.Series(steps["slate"].flatten() - 1)
        names = self.items.gather(shown.set(shown < 0, None)).reshape((len(order), -1))
        offered = names.arr.to_list().list.drop_nulls()
        # An event for each item taken, or one for a slate of which nothing was.
        took = steps["taken"]
        rows, place = np.nonzero(np.column_stack([took, ~took.any(1)]))
        nothing = place == took.shape[1]
        place = np.where(nothing, 0, place)
        item = pl.Series(steps["slate"][rows, place] - 1).set(pl.Series(nothing), None)
        seconds = steps["round"].astype(np.int64) * DAY + steps["step"]
        propensity = np.exp(steps["log_probability"].astype(np.float64))
        impression = session + "-" + pl.Series(steps["step"]).cast(pl.String)
        events = pl.DataFrame(
            {
                Column.USER: user.gather(rows),
                Column.ITEM: self.items.gather(item),
                Column.TIME: pl.Series(seconds[rows] * 1000).cast(pl.Duration("ms")) + START,
                Column.FEEDBACK: np.where(nothing, SKIP, CHOICE),
                Column.VALUE: steps["value"][rows, place].astype(np.float64),
                Column.SESSION: session.gather(rows),
                Column.IMPRESSION: impression.gather(rows),
                Column.POSITION: pl.Series(place).set(pl.Series(nothing), None),
                # Probabilities too small for a float become about the smallest one above 0.
                Column.PROPENSITY: propensity[rows].clip(1e-300),
                Column.CANDIDATES: offered.gather(rows),
            }
        )
        return InteractionLog(events)
