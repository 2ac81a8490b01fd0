"""lightrec's part of the cells that RecSim is the peer of: one process a cell, one thread."""

import statistics
import time
from collections.abc import Callable

import torch
from lightrec_worlds.recsim import (
    ACTIONS,
    InterestEvolution,
    LongTermSatisfaction,
    best_values,
    ranks,
)
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.keys import Key
from lightrec.simulators.world import World

USERS = 8192
PART = 50
"""Steps that are timed together."""
SENSITIVITIES = (0.01, 0.05, 0.1, 0.2, 0.4)

Metrics = dict[str, float]


def speed(seconds: float) -> Metrics:
    """User-steps a CPU second: random slates in a loop, resets included, and `rollout`."""
    world = InterestEvolution(USERS)
    state = world.reset()

    def loop() -> None:
        nonlocal state
        for _ in range(PART):
            _, state = world.step_and_maybe_reset(world.rand_action(state))

    def rollout() -> None:
        world.rollout(PART, break_when_any_done=False)

    found = {}
    for name, play in (("loop", loop), ("rollout", rollout)):
        play()
        rates, start = [], time.process_time()
        while (before := time.process_time()) < start + seconds:
            play()
            rates.append(PART * USERS / (time.process_time() - before))
        # The median of many parts: other work on the machine comes and goes.
        found[f"{name}/user_steps_per_cpu_second"] = statistics.median(rates)
        found[f"{name}/user_steps"] = len(rates) * PART * USERS
    return found


def sessions(count: int) -> Metrics:
    """Length, clicks and minutes watched of whole sessions under random slates."""
    world = InterestEvolution(count)
    totals = torch.zeros(count, 3, dtype=torch.float64)
    for after, going in _play(world, lambda state: world.rand_action(state)[Key.ACTION]):
        step = torch.cat([torch.ones(count, 1), after[Key.ACCEPTED], after["reward"]], 1)
        totals += going * step
    metrics: Metrics = {"sessions": count}
    for name, values in zip(("length", "clicks", "watch_time"), totals.unbind(1), strict=True):
        metrics[name] = float(values.mean())
        metrics[f"{name}/standard_error"] = float(values.std()) / count**0.5
    return metrics


def satisfaction(count: int) -> Metrics:
    """Drawn and expected engagement of whole sessions, and what dynamic programming says."""
    metrics: Metrics = {"sessions": count}
    highest, even = ranks(ACTIONS, 10), torch.full((ACTIONS,), 1 / ACTIONS).double()
    for sensitivity in SENSITIVITIES:
        world = LongTermSatisfaction(count, sensitivity=sensitivity)
        twin, first, steps = world.twin(), world.initial(), world.time_budget
        scores: dict[str, Callable[[TensorDictBase], Tensor]] = {
            "choc": lambda state, world=world: world.score[state[Key.CANDIDATES]],
            "kale": lambda state, world=world: -world.score[state[Key.CANDIDATES]],
            "random": lambda state: torch.rand(state[Key.CANDIDATES].shape),
            "oracle": world.oracle,
        }
        values = {
            "choc": best_values(*twin, highest, steps, ranked=False),
            "kale": best_values(*twin, highest.flip(0), steps, ranked=False),
            "random": best_values(*twin, even, steps, ranked=False),
            "oracle": best_values(*twin, highest, steps),
        }
        for name, score in scores.items():
            totals = torch.zeros(count, 2, dtype=torch.float64)

            def show(state: TensorDictBase, score: Callable = score) -> Tensor:
                return state[Key.CANDIDATES].gather(1, score(state).argmax(1, keepdim=True))

            for after, going in _play(world, show):
                totals += going * torch.cat([after["reward"], after[Key.TRUE_REWARD]], 1)
            key = f"sensitivity-{sensitivity:g}/{name}"
            metrics[f"{key}/drawn"], metrics[f"{key}/expected"] = totals.mean(0).tolist()
            metrics[f"{key}/twin"] = float(values[name][-1] @ first)
    return metrics


def _play(world: World, show: Callable[[TensorDictBase], Tensor]):
    """Play a session of each user; yields each step, and (B, 1) who was still there before it."""
    state = world.reset()
    going = torch.ones(*world.batch_size, 1, dtype=torch.bool)
    while going.any():
        state[Key.ACTION] = show(state)
        after = world.step(state)["next"]
        yield after, going
        going = going & ~after["done"]
        state = after.exclude("reward")


def measure(cell: Cell) -> Metrics:
    """Measure one of the three."""
    torch.manual_seed(cell.seed)
    ways = {"sessions": sessions, "satisfaction": satisfaction}
    with torch.inference_mode():
        if cell["what"] == "speed":
            return speed(cell["seconds"])
        return ways[cell["what"]](cell["count"])
