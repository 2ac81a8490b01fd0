"""lightrec's part of the cells that RecSim is the peer of: one process a cell, one thread."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from lightrec_worlds.playing import even_chance, play
from lightrec_worlds.recsim import InterestEvolution, LongTermSatisfaction
from tensordict import TensorDictBase
from torch import Tensor

from benchmarks.measure import Cell
from lightrec.keys import Key
from lightrec.simulators.rollout import play as play_sessions
from lightrec.simulators.world import Scored, Scores, World

USERS = 8192
PART = 50
"""Steps that are timed together."""
WHOLE = {"break_when_any_done": False}

Metrics = dict[str, float]


def steps(world: World, part: int) -> Callable[[], int]:
    """A function that plays random slates in a part of so many steps, and counts user-steps."""
    state = world.reset()

    def play() -> int:
        nonlocal state
        for _ in range(part):
            _, state = world.step_and_maybe_reset(world.rand_action(state))
        return part * world.batch_size.numel()

    return play


def speed(seconds: float) -> Metrics:
    """User-steps a CPU second: random slates in a loop, resets included, and `rollout`."""
    world = InterestEvolution(USERS)
    found = {}
    ways = {"loop": steps(world, PART), "rollout": partial(world.rollout, PART, **WHOLE)}
    for name, way in ways.items():
        way()
        rates, start = [], time.process_time()
        while (before := time.process_time()) < start + seconds:
            way()
            rates.append(PART * USERS / (time.process_time() - before))
        # The median of many parts: other work on the machine comes and goes.
        found[f"{name}/user_steps_per_cpu_second"] = statistics.median(rates)
    return found


def sessions(count: int, seed: int) -> Metrics:
    """Length, clicks and minutes watched of whole sessions under random slates."""
    world = InterestEvolution(count)
    played = play_sessions(Scored(even_chance(world)), world, torch.arange(count), seed)[0]
    found = {"length": played.length, "clicks": played.accepted, "watch_time": played.reward}
    return {name: float(values.mean()) for name, values in found.items()}


def satisfaction(count: int, seed: int) -> Metrics:
    """Expected engagement of whole sessions."""
    world = LongTermSatisfaction(count)

    def sweet(state: TensorDictBase) -> Tensor:
        return world.score[state[Key.CANDIDATES]]

    ways: dict[str, Scores] = {
        "choc": sweet,
        "kale": lambda state: -sweet(state),
        "random": even_chance(world),
    }
    return {
        f"sensitivity-0.01/{name}/expected": float(play(world, scores, seed).returns.mean())
        for name, scores in ways.items()
    }


def measure(cell: Cell) -> Metrics:
    """Measure one of the three."""
    torch.manual_seed(cell.seed)
    ways = {"sessions": sessions, "satisfaction": satisfaction}
    with torch.inference_mode():
        if cell["what"] == "speed":
            return speed(cell["seconds"])
        return ways[cell["what"]](cell["count"], cell.seed)
