"""Simulated sessions written as a log, for stages to be tried where the truth is known."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.log import InteractionLog
from lightrec.keys import Column, Key

START = datetime(2020, 1, 1, tzinfo=UTC)
"""When the first round of sessions begins; steps are a second apart, rounds a day."""
DAY = 24 * 3600
CHOICE, SKIP = "choice", "skip"


class SessionLog:
    """Collects the steps of sessions, and makes them a log with positions and propensities.

    A step becomes one event for each item that the user took from the slate, with its value, or one
    event if the user took nothing. All have the propensity of the whole slate.

    :param items: names of the items 1 to N.
    :param users: names of the users by their number; None makes each session a user of its own.
    """

    def __init__(self, items: Sequence[str], users: Sequence[str] | None = None) -> None:
        self.items, self.users = pl.Series(items), users
        self._rounds = 0
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
