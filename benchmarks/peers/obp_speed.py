"""The speed cell of `make bench NAME=off_policy` in Open Bandit Pipeline, by its own Python."""

import sys
import time

import numpy as np
from obp.ope import DoublyRobust
from obp.utils import estimate_confidence_interval_by_bootstrap as resampled
from protocol import write

ROUNDS, ACTIONS, SAMPLES = 100_000, 80, 1_000


def main(out: str, seed: str) -> None:
    """Time DR with a bootstrap of 1,000 samples, and the bootstrap of given values alone."""
    chance = np.random.default_rng(int(seed))
    behavior = chance.random((ROUNDS, ACTIONS))
    behavior /= behavior.sum(1, keepdims=True)
    action = (behavior.cumsum(1) > chance.random((ROUNDS, 1))).argmax(1)
    given = {
        "reward": (chance.random(ROUNDS) < 0.1).astype(int),
        "action": action,
        "position": np.zeros(ROUNDS, int),
        "pscore": behavior[np.arange(ROUNDS), action],
        "action_dist": behavior[:, ::-1, None].copy(),
        "estimated_rewards_by_reg_model": behavior[::-1, :, None].copy(),
    }
    begin = time.process_time()
    DoublyRobust().estimate_interval(**given, n_bootstrap_samples=SAMPLES, random_state=0)
    middle = time.process_time()
    resampled(chance.random(ROUNDS), n_bootstrap_samples=SAMPLES, random_state=0)
    end = time.process_time()
    found = {"bootstrap/seconds": middle - begin, "resampling/seconds": end - middle}
    write(out, found, ["obp", "numpy"])


if __name__ == "__main__":
    main(*sys.argv[1:])
