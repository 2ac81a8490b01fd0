"""Users fitted to the logs of worlds in which the long run shows, and played in their place.

A platform knows which items it may offer and what it counts: both are taken from the world. What
users do is not: it is fitted to the log.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightrec_worlds.long_term_satisfaction import SEEN, LongTermSatisfaction
from lightrec_worlds.retention import Retention
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.session_fitting import SessionSteps
from benchmarks.session_model import SessionModel
from benchmarks.session_simulator import SessionSimulator
from lightrec.keys import Key
from lightrec.rewards.base import Reward
from lightrec.simulators.world import World

DAY, SLATES, RATE, CLICK, ABSENCE = range(-5, 0)
"""Columns of an observation in `Retention`."""
STARTS = "starts.pt"


class Platform(SessionSimulator):
    """Fitted users whom a world's platform shows items.

    :param world: of one session.
    :param settings: of :class:`~benchmarks.session_simulator.SessionSimulator`.
    """

    def __init__(self, world: World, *users: Any, **settings: Any) -> None:
        same = ("max_steps", "history_length", "slate_size", "offer_size", "device")
        super().__init__(*users, **{name: getattr(world, name) for name in same}, **settings)
        self.__dict__["world"] = world  # no part of this one

    def offer(self, state: TensorDictBase) -> Tensor:
        """Offer what the world does."""
        return self.world.offer(state)


class FittedSatisfaction(Platform):
    """Users of `LongTermSatisfaction`."""

    def observe(self, state: TensorDictBase, answer: Mapping[str, Tensor]) -> Tensor:
        """Give the last engagement, as far as it is told."""
        return answer["value"].clamp_max(SEEN).unsqueeze(1)


class FittedRetention(Platform):
    """Users of `Retention`."""

    def __init__(self, world: Retention, *users: Any, **settings: Any) -> None:
        super().__init__(world, *users, pays="returns", horizon=world.horizon, **settings)

    def observe(self, state: TensorDictBase, answer: Mapping[str, Tensor]) -> Tensor:
        """Count days, slates and clicks on."""
        found, ended = state[Key.OBSERVATION].clone(), answer["ended"]
        click, away = (answer["item"] > 0).float(), answer["absence"] / self.horizon
        found[:, DAY] += away
        found[:, SLATES] = torch.where(ended, 0, found[:, SLATES] + 0.1)
        found[:, RATE] = 0.9 * found[:, RATE] + 0.1 * click
        found[:, CLICK] = click
        found[:, ABSENCE] = torch.where(ended, away, found[:, ABSENCE])
        return found


KINDS: dict[type[World], type[Platform]] = {
    LongTermSatisfaction: FittedSatisfaction,
    Retention: FittedRetention,
}


# --- what a log says --------------------------------------------------------------------------


def steps_of(world: World, rows: TensorDictBase) -> SessionSteps:
    """Read a world's log, as ``WorldData.log`` gives it: what a platform could have noted."""
    following, context, slate = rows["next"], rows[Key.OBSERVATION], rows[Key.ACTION]
    taken = following[Key.TAKEN]
    click = taken.any(1)
    step, accepted = rows[Key.STEP] + 1, following[Key.ACCEPTED_TOTAL]
    ended = following["terminated"].squeeze(1)
    absence, seen = torch.zeros_like(rows[Key.USER]), torch.zeros_like(ended)
    if isinstance(world, Retention):
        day, next_day = (
            (row[Key.OBSERVATION][:, DAY] * world.horizon).round().long()
            for row in (rows, following)
        )
        step = (context[:, SLATES, None] * 10).round().long() + 1
        before = click.cumsum(0) - click.long()
        begun = torch.where(step.squeeze(1) == 1, before, 0).cummax(0).values
        accepted = (before + click.long() - begun).float().unsqueeze(1)
        gone = ended
        ended = following[Key.OBSERVATION][:, SLATES] == 0
        seen = ended & ~gone & (next_day < world.horizon)
        absence = torch.where(seen, next_day - day, world.horizon - 1 - day) * ended
    return SessionSteps(
        user=rows[Key.USER],
        context=context,
        slate=slate,
        place=torch.where(click, taken.to(torch.int8).argmax(1), slate.shape[1]),
        value=following[Key.VALUE].sum(1),
        step=step,
        accepted=accepted,
        ended=ended,
        cut=following["done"].squeeze(1) & ~ended,
        absence=absence,
        seen=seen,
    )


def starts_of(steps: SessionSteps) -> Tensor:
    """Give the contexts (S, G) in which users began."""
    return steps.context[next(steps.waves())]


def users_of(world: World) -> SessionModel:
    """Make the unfitted model of a world's users."""
    size, returns = world.item_vectors.shape[1], isinstance(world, Retention)
    model = SessionModel(
        world.num_items,
        size,
        world.observation_size,
        periods=world.horizon - 1 if isinstance(world, Retention) else 0,
        valued=not returns,
    )
    return model.set_items(world.item_vectors)


# --- to learn in ------------------------------------------------------------------------------


class FittedData(WorldData):
    """Sessions of fitted users on a world's platform.

    :param fitted: folder of the fitted members, and of the contexts in which users began.
    :param penalty: see :class:`~benchmarks.session_simulator.SessionSimulator`.
    :param settings: of :class:`~lightrec_worlds.world_data.WorldData`.
    """

    def __init__(self, fitted: str, penalty: float = 0.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.fitted, self.penalty = Path(fitted), penalty

    def make(
        self, sessions: int, device: torch.device | str = "cpu", reward: Reward | None = None
    ) -> Platform:
        """Play fitted users in place of the world's."""
        world = super().make(1, device)
        assert isinstance(world, World)
        return platform_of(world, *loaded(self.fitted), sessions, penalty=self.penalty)


def platform_of(
    world: World, members: list[SessionModel], starts: Tensor, users: int, **settings: Any
) -> Platform:
    """Let fitted users take the place of a world's."""
    return KINDS[type(world)](world, members, starts, users, **settings)


@cache
def loaded(folder: Path) -> tuple[list[SessionModel], Tensor]:
    """Give the members and the contexts that a folder holds, the same ones at every call."""
    members = [SessionModel.load(place) for place in sorted(folder.glob("member-*"))]
    return members, torch.load(folder / STARTS, weights_only=True)


def save(members: list[SessionModel], starts: Tensor, folder: Path) -> None:
    """Write what :class:`FittedData` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, member in enumerate(members):
        member.save_pretrained(folder / f"member-{number}")
    torch.save(starts, folder / STARTS)
