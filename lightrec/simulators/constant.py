"""The best list that is the same for everybody, searched for in a world.

Whoever recommends one list to all has looked at no user. A policy that does not beat the best such
list has learned nothing of people, however well it does.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.keys import PADDING, Key
from lightrec.simulators.play import even_chance, play
from lightrec.simulators.world import World

FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""How much what comes after may count beside what comes now."""
SEED = 900_000_007
"""Of the search: sessions that no contender is judged by."""


class ConstantList(NamedTuple):
    """What a search found."""

    appeal: Tensor
    """(N + 1,) float32: the list is ordered by it, highest first; minus infinity for padding."""
    factor: float
    """How much what comes after counts in it."""
    falling: bool
    """Whether that counts less the later an item stands."""
    returns: float
    """Mean return of the list in the search's own sessions, which flatters it a little."""


def best_constant(
    world: World, seed: int = SEED, rounds: int = 4, factors: Sequence[float] = FACTORS
) -> ConstantList:
    """Search the best constant list: those by reward now + factor · what a choice brings later.

    What an item brings now is its mean true reward, shown alone to everybody at first, and how
    often it is taken so; both are asked of the world. What it brings later is a linear function of
    its vector, fitted to what was still earned after choices from random slates. Each factor gives
    a list, and where nothing is shown twice another one, in which what comes later counts by the
    time that is left when an item's turn comes. All are played; the list of the highest return
    wins. It is the best of these few, not proven to be the best there is.

    :param world: whose sessions side by side are as many as a list is tried on.
    :param seed: of the search's sessions.
    :param rounds: of random sessions.
    """
    now, taken = at_first(world, seed)
    later = taken * brings_later(world, seed, rounds)
    found = []
    for factor, falling in product(factors, (False,) if world.repeats else (False, True)):
        appeal = _falling(world, now, factor * later) if falling else now + factor * later
        appeal = appeal.masked_fill(~world.offered, -torch.inf)
        returns = float(play(world, constantly(world, appeal), seed).returns.mean())
        found.append(ConstantList(appeal, factor, falling, returns))
    return max(found, key=lambda tried: tried.returns)


def _falling(world: World, now: Tensor, later: Tensor) -> Tensor:
    """Order items by now + later · the part of the session that is left at an item's turn.

    :returns: (N + 1,): minus the item's place; those that no session comes to are last.
    """
    places = torch.full_like(now, -float(len(now)))
    free = world.offered.clone()
    for step in range(world.max_steps):
        size = min(world.slate_size, int(free.sum()))
        worth = now + (1 - step / world.max_steps) * later
        items = worth.masked_fill(~free, -torch.inf).topk(size).indices
        places[items] = -float(step * world.slate_size) - torch.arange(size, device=items.device)
        free[items] = False
    return places


@torch.no_grad()
def at_first(world: World, seed: int) -> tuple[Tensor, Tensor]:
    """Show each item alone to all users at their beginning.

    :returns: mean true reward (N + 1,), and how often the item is taken (N + 1,).
    """
    size = world.batch_size[0]
    world.fix(torch.arange(size), seed)
    state = world.reset()
    reward, taken = torch.zeros(2, world.num_items + 1, device=world.device)
    slate = torch.zeros(size, world.slate_size, dtype=torch.int64, device=world.device)
    for item in world.offered.nonzero().squeeze(1):
        slate[:, 0] = item
        response = world.respond(state, slate)
        true = world.changes(response)[Key.TRUE_REWARD]
        assert isinstance(true, Tensor)
        reward[item] = true.mean()
        taken[item] = response.taken[:, 0].float().mean()
    return reward, taken


def brings_later(world: World, seed: int, rounds: int) -> Tensor:
    """Estimate what choosing each item adds to what is earned afterwards, other things being equal.

    Ridge regression, on the choice's vector, time, and whether there was a choice, over random
    sessions.

    :returns: (N + 1,) float32.
    """
    rows, earned = [], []
    for round_ in range(rounds):
        steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

        def note(
            state: TensorDictBase,
            following: TensorDictBase,
            alive: Tensor,
            steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = steps,
        ) -> None:
            reward = following[Key.TRUE_REWARD].squeeze(1) * alive
            steps.append(
                (state[Key.STEP], (state[Key.ACTION] * following[Key.TAKEN]).sum(1), reward, alive)
            )

        play(world, even_chance(world), seed + 1 + round_, note)
        left = torch.zeros_like(steps[0][2])
        for step, clicked, reward, alive in reversed(steps):
            time = step / world.max_steps
            click = (clicked > PADDING).float().unsqueeze(1)
            known = [torch.ones_like(time), time, time.square(), click]
            rows.append(torch.cat([*known, world.item_vectors[clicked]], 1)[alive])
            earned.append(left[alive])
            left = left + reward
    features, wanted = torch.cat(rows).double(), torch.cat(earned).double()
    unit = torch.eye(features.shape[1], dtype=torch.float64, device=features.device)
    weights = torch.linalg.solve(features.T @ features + unit, features.T @ wanted)[3:].float()
    vectors = pad(world.item_vectors, (1, 0), value=1.0)
    return vectors @ weights


def constantly(world: World, appeal: Tensor) -> Callable[[TensorDictBase], Tensor]:
    """Give scores that show the same list to everybody, for :func:`~lightrec.simulators.play.play`.

    :param appeal: (N + 1,).
    """

    def scores(state: TensorDictBase) -> Tensor:
        if world.offer_size is None:
            return appeal.expand(world.batch_size[0], -1)
        return appeal[state[Key.CANDIDATES]]

    return scores
