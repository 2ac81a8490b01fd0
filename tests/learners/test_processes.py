"""Two processes train what one would have trained, step by step, or refuse to."""

import os

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from lightrec.data.share import Share
from lightrec.errors import LightrecError
from tests.learners import training
from tests.learners.stages import make
from tests.processes import apart, free_port

pytestmark = pytest.mark.slow  # Two more processes import torch.

SHARED = ["ranking softmax", "ranking sampled", "choice pooled", "choice maxent"]
ALONE = {"policy ppo": "PolicyModule", "replay soft-q": "ReplayPolicyModule"}


class Losses(pl.Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, module, outputs, *_):
        if isinstance(outputs, dict) and "loss" in outputs:
            self.found.append(float(outputs["loss"].detach()))


def train(name, folder, world):
    """Losses, metrics and weights of a training of 20 steps."""
    kept = Losses()
    ddp = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)
    how = {"strategy": ddp if world > 1 else "auto", "use_distributed_sampler": False}
    how |= {"max_steps": 20, "devices": world, "callbacks": [kept]}
    try:
        module, trainer = training.train(*make(name, folder), None, **how)
    except LightrecError as error:
        return {"refused": str(error)}
    metrics = {n: float(v) for n, v in trainer.callback_metrics.items()}
    return {"losses": kept.found, "metrics": metrics, "weights": module.state_dict()}


def train_together(rank, world, port, folder, out, names):
    """Write by name what trainings came to."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(world)}
    torch.save({name: train(name, folder, world) for name in names}, out)


@pytest.fixture(scope="module")
def both(bandit, tmp_path_factory):
    """What each of two processes found, by name; started once for all."""
    out = tmp_path_factory.mktemp("processes")
    port = free_port()
    files = [out / "first.pt", out / "second.pt"]
    names = [*SHARED, *ALONE]
    apart(train_together, *((rank, 2, port, bandit, files[rank], names) for rank in range(2)))
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("name", SHARED)
def test_two_processes_come_to_what_one_does(bandit, both, name):
    one = train(name, bandit, 1)
    first, second = (found[name] for found in both)
    assert len(one["losses"]) == 20
    # Each process gives its part of the loss; gradients, and so losses, are averaged.
    mean = (torch.tensor(first["losses"]) + torch.tensor(second["losses"])) / 2
    torch.testing.assert_close(mean, torch.tensor(one["losses"]), atol=1e-5, rtol=0)
    for key, weight in one["weights"].items():
        torch.testing.assert_close(first["weights"][key], weight, atol=1e-5, rtol=0)
        assert torch.equal(first["weights"][key], second["weights"][key]), key
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["metrics"], abs=1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_what_plays_its_own_sessions_refuses_a_second_process(both, name):
    for found in both:
        assert found[name]["refused"] == (
            f"{ALONE[name]} trains in one process, and the recipe asks for 2. Set trainer.devices "
            "to 1; the ranker, users_a and users_b stages can train in several."
        )


def test_shares_are_of_all_rows_and_of_nothing_twice():
    rows = list(range(11))
    parts = [rows[Share(rank, 3).rows] for rank in range(3)]
    assert sorted(row for part in parts for row in part) == rows
    # A rest of two rows has none for the third process.
    assert [Share(0, 3).batches(count, 4) for count in (8, 10, 11)] == [2, 2, 3]
