"""The published environment of Virtual Taobao, run by the Python of its environment."""

import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

STEPS, SESSIONS, PAGE = 20_000, 20_000, 10


def main(folder: str, out: str, kept: str) -> None:
    """Measure random actions, then the constant action that was kept."""
    sys.path.insert(0, folder)
    from virtualTB.envs.virtualTB import VirtualTB

    torch.set_num_threads(1)
    simulator = VirtualTB()
    simulator.seed(0)
    simulator.action_space.seed(0)
    simulator.reset()
    began = time.process_time()
    for _ in range(STEPS):
        _, _, done, _ = simulator.step(simulator.action_space.sample())
        if done:
            simulator.reset()
    seconds = time.process_time() - began
    rates, lengths, pages, total = [], [], 0, 0
    for _ in range(SESSIONS):
        simulator.reset()
        done, length = False, 0
        while not done:
            _, reward, done, told = simulator.step(simulator.action_space.sample())
            length += 1
            total += reward
        rates.append(told["CTR"])
        lengths.append(length)
        pages += length
    action = np.array(json.loads(Path(kept).read_text()), dtype=np.float32)
    constant = 0
    simulator.reset()
    for _ in range(STEPS):
        _, reward, done, _ = simulator.step(action)
        constant += reward
        if done:
            simulator.reset()
    found = {
        "steps_per_cpu_second": STEPS / seconds,
        "click_rate": total / (pages * PAGE),
        "mean_session_click_rate": float(np.mean(rates)),
        "mean_session_length": float(np.mean(lengths)),
        "constant_click_rate": constant / (STEPS * PAGE),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("gym", "numpy", "torch")},
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
