"""Trains stages, and plays worlds, on a device that is not the processor.

To be imported in a process of its own, as :mod:`tests.second_device` is.
"""

import tempfile
import traceback
from pathlib import Path

import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from lightrec.keys import Key
from lightrec.learners.policy_stage import PolicyStage
from lightrec.simulators.base import Simulator
from lightrec.simulators.world import World
from tests.learners import training
from tests.learners.stages import WORLDS, make
from tests.second_device import DEVICE, SecondAccelerator, second_device


def train(name, folder):
    """Train and judge a stage as the pipeline does, all on the second device.

    A policy is judged when it is written.
    """
    module, data = make(name, folder)
    strategy = SingleDeviceStrategy(DEVICE, accelerator=SecondAccelerator())
    judged = int(not isinstance(module, PolicyStage))
    how = {"limit_train_batches": 1, "limit_val_batches": judged, "accelerator": "auto"}
    training.train(module, data, 1, strategy=strategy, **how)
    assert module.device.type == "cpu", "Lightning leaves networks on the CPU."
    if isinstance(module, PolicyStage):
        with tempfile.TemporaryDirectory() as out:
            module.write(Path(out))


def walk(make_world):
    """Play some steps, resets included, and ask whoever knows the truth."""
    world = make_world(3, device=DEVICE)
    world.set_seed(0)
    state = world.reset()
    for _ in range(4):
        if isinstance(world, Simulator):
            world.rand_action(state)
        else:
            state[Key.ACTION] = torch.zeros_like(state[Key.STEP])
        if isinstance(world, World):
            world.oracle(state)
        played, state = world.step_and_maybe_reset(state)
    for key, value in played.items(True, True):
        assert value.device == DEVICE, key


def look(folder, names):
    """Faults by name, or nothing."""
    found = {}
    with second_device():
        for name in names:
            try:
                walk(WORLDS[name]) if name in WORLDS else train(name, folder)
                found[name] = ""
            except Exception:
                found[name] = traceback.format_exc()
    return found
