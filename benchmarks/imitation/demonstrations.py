"""The demonstrations that all learners are given: 60 trajectories of 500 steps in CartPole."""

from pathlib import Path

import numpy as np
import torch

from lightrec.keys import Key
from lightrec.simulators.worlds.cart_pole import CartPole, balance

TRAJECTORIES, STEPS = 60, 500


def record(path: Path, seed: int = 0) -> float:
    """Write ``observation`` (60, 501, 4) float32 and ``action`` (60, 500) int64; give the return.

    The expert is the linear rule :func:`~lightrec.simulators.worlds.cart_pole.balance`.
    """
    world = CartPole(TRAJECTORIES, max_steps=STEPS)
    world.set_seed(seed)
    state = world.reset()
    observations, actions, total = [state[Key.OBSERVATION]], [], torch.zeros(TRAJECTORIES)
    for _ in range(STEPS):
        actions.append(balance(state))
        state = world.step(state.set(Key.ACTION, actions[-1]))["next"]
        observations.append(state[Key.OBSERVATION])
        total += state["reward"].squeeze(1)
        state = state.exclude("reward")
    np.savez_compressed(
        path,
        observation=torch.stack(observations, 1).numpy(),
        action=torch.cat(actions, 1).numpy(),
    )
    return float(total.mean())
