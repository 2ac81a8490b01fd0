"""The best list that is the same for everybody in a world, found by a search.

A policy that does not beat it has learned nothing of people, however well it does.
"""

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, Policy, PolicyMaker, Run, Simulator
from lightrec.policies.baselines import ConstantListPolicy
from lightrec.simulators.rollout import play as play_sessions
from lightrec.simulators.world import Scored, World
from lightrec_worlds.playing import even_chance, play

FACTORS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Weights of what comes after beside what comes now."""
SEED = 900_000_007
"""Seed of the search: sessions that no policy is judged by."""


def best_constant(world: World, rounds: int = 4) -> Tensor:
    """Search the best constant list: those by reward now + factor · what a choice brings later.

    What an item brings now is its mean true reward, shown alone to everybody at first, and how
    often it is taken so; both are asked of the world. What it brings later is a linear function of
    its vector, fitted to what was still earned after choices from random slates. Each factor gives
    a list, and where nothing is shown twice another one, in which what comes later counts by the
    time that is left when an item's turn comes. All are played; the list of the highest return
    wins. It is the best of these few, not proven to be the best there is.

    :param world: whose sessions side by side are as many as a list is tried on.
    :param rounds: of random sessions.
    :returns: (N + 1,) float32, by which the list is ordered; column 0 minus infinity.
    """
    now, taken = at_first(world, SEED)
    later = taken * brings_later(world, SEED, rounds)
    lists = [now + factor * later for factor in FACTORS]
    if not world.repeats:
        lists += [_falling(world, now, factor * later) for factor in FACTORS]
    lists = [appeal.masked_fill(~world.offered, -torch.inf) for appeal in lists]
    shown = [ConstantListPolicy.from_appeal(each).logits for each in lists]
    returns = [play(world, scores, SEED).returns.mean() for scores in shown]
    return lists[int(torch.stack(returns).argmax())]


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
        true = response.changed.get(Key.TRUE_REWARD, response.value.sum(1))
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
    steps: list[tuple[Tensor, ...]] = []

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        reward = following[Key.TRUE_REWARD].squeeze(1) * alive
        clicked = (state[Key.ACTION] * following[Key.TAKEN]).sum(1)
        steps.append((state[Key.STEP] / world.max_steps, clicked, reward, alive))

    for round_ in range(rounds):
        steps.clear()
        everyone = torch.arange(world.batch_size[0])
        play_sessions(Scored(even_chance(world)), world, everyone, seed + 1 + round_, record=note)
        time, clicked, reward, alive = map(torch.stack, zip(*steps, strict=True))
        click = (clicked > PADDING).float().unsqueeze(2)
        columns = [torch.ones_like(time), time, time.square(), click, world.item_vectors[clicked]]
        rows.append(torch.cat(columns, 2)[alive])
        earned.append((reward.flip(0).cumsum(0).flip(0) - reward)[alive])
    features, wanted = torch.cat(rows).double(), torch.cat(earned).double()
    unit = torch.eye(features.shape[1], dtype=torch.float64, device=features.device)
    weights = torch.linalg.solve(features.T @ features + unit, features.T @ wanted)[3:].float()
    return pad(world.item_vectors, (1, 0), value=1.0) @ weights


class BestConstant(PolicyMaker):
    """Makes the policy that shows everybody the list that :func:`best_constant` finds."""

    def policy(self, simulator: Simulator, users: Tensor, run: Run | None = None) -> Policy:
        """Search for the list."""
        assert isinstance(simulator, World)
        return ConstantListPolicy.from_appeal(best_constant(simulator))
