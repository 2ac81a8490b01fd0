"""RecSim's two environments, run by the Python of its environment.

Python 3.7 and NumPy only. RecSim's agents need TensorFlow, its environments do not: what of it the
package imports with them is left out here.
"""

import json
import platform
import sys
import time
import types

import gin
import importlib_metadata
import numpy as np

# `gin.tf` and the runner are imported with every environment, and import TensorFlow; of the first
# only `gin.configurable` is used, of the second nothing.
sys.modules["gin.tf"] = gin
sys.modules["recsim.simulator.runner_lib"] = types.ModuleType("recsim.simulator.runner_lib")

from recsim.environments import interest_evolution, long_term_satisfaction  # noqa: E402

CANDIDATES, SLATE = 10, 2
CPU_SECONDS = 20.0
PART = 1000


def environment(module, slate_size, seed):
    """Build one of RecSim's environments with its defaults, ten fresh candidates a step."""
    np.random.seed(seed)
    return module.create_environment(
        {
            "slate_size": slate_size,
            "num_candidates": CANDIDATES,
            "resample_documents": True,
            "seed": seed,
        }
    )


def slates(seed):
    """Random slates, drawn many at a time so that drawing them costs next to nothing."""
    chance = np.random.RandomState(seed + 1)
    while True:
        yield from chance.rand(10000, CANDIDATES).argsort(1)[:, :SLATE]


def speed(seed):
    """User-steps a CPU second under random slates, resets included."""
    env, shown = environment(interest_evolution, SLATE, seed), slates(seed)
    next(shown)
    rates, done, start = [], True, time.process_time()
    while time.process_time() - start < CPU_SECONDS:
        before = time.process_time()
        for _ in range(PART):
            if done:
                env.reset()
            _, _, done, _ = env.step(next(shown))
        rates.append(PART / (time.process_time() - before))
    # The median of many parts: other work on the machine comes and goes.
    rate = float(np.median(rates))
    return {"loop/user_steps_per_cpu_second": rate}


def sessions(seed, count=20000):
    """Length, clicks and minutes watched of whole sessions under random slates."""
    env, shown = environment(interest_evolution, SLATE, seed), slates(seed)
    found = np.zeros((count, 3))
    for row in range(count):
        env.reset()
        done = False
        while not done:
            observation, reward, done, _ = env.step(next(shown))
            clicks = sum(response["click"] for response in observation["response"])
            found[row] += 1, clicks, reward
    length, clicks, minutes = found.mean(0)
    return {"length": length, "clicks": clicks, "watch_time": minutes}


def satisfaction(seed, count=2000):
    """Expected engagement of whole sessions under three policies."""
    env, chance = environment(long_term_satisfaction, 1, seed), np.random.RandomState(seed + 1)
    policies = {
        "choc": lambda scores: scores.argmax(),
        "kale": lambda scores: scores.argmin(),
        "random": lambda scores: chance.randint(len(scores)),
    }
    metrics = {}
    for name, choose in policies.items():
        expected = np.zeros(count)
        for row in range(count):
            documents, done = env.reset()["doc"], False
            while not done:
                scores = np.concatenate(list(documents.values()))
                place = choose(scores)
                user = env.environment.user_model._user_state
                mean = scores[place] * user.choc_mean + (1 - scores[place]) * user.kale_mean
                expected[row] += np.exp(mean * user.satisfaction + user.choc_stddev**2 / 2)
                observation, _, done, _ = env.step([place])
                documents = observation["doc"]
        metrics[name + "/expected"] = expected.mean()
    return metrics


def main(what, out, seed):
    """Measure, and write what was found."""
    found = {"speed": speed, "sessions": sessions, "satisfaction": satisfaction}[what](int(seed))
    packages = ("recsim", "gym", "gin-config", "numpy")
    found["python"] = platform.python_version()
    found["versions"] = {name: importlib_metadata.version(name) for name in packages}
    with open(out, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
