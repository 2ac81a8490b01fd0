"""The demonstrations that all learners are given: 60 trajectories of 500 steps in CartPole."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.imitation.cart_pole import CART, CartPole
from lightrec.keys import Key
from lightrec.learners.transitions import demonstrate
from lightrec.simulators.world import Scored

TRAJECTORIES, STEPS = 60, 500


def record(path: Path, seed: int = 0) -> float:
    """Write ``observation`` (60, 501, 4) float32 and ``action`` (60, 500) int64; give the return.

    The expert is the linear rule of :meth:`~benchmarks.imitation.cart_pole.CartPole.oracle`.
    """
    world = CartPole(TRAJECTORIES, max_steps=STEPS)
    world.set_seed(seed)
    played = demonstrate(world, Scored(world.oracle), STEPS)
    last = played["next", CART][:, -1:]
    np.savez_compressed(
        path,
        observation=torch.cat([played[CART], last], 1).numpy(),
        action=(played[Key.ACTION].squeeze(-1) - 1).numpy(),
    )
    return float(played["next", "reward"].sum(1).mean())
