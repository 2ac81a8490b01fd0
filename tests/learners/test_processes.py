"""Two processes train what one would have trained, step by step, or refuse to."""

import os

import lightning.pytorch as pl
import pytest
import torch

pytest.importorskip("lightrec_generate", reason="its generator is among what is trained")

from lightrec_generate.identifiers import Identifiers
from lightrec_generate.module import GeneratorData, GeneratorModule
from lightrec_lab.replay import ReplayPolicyModule

from lightrec.data.share import Share
from lightrec.errors import LightrecError
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.policy_stage import PolicyStage
from lightrec.stages.strategies import DDP
from tests.learners import training
from tests.learners.stages import STAGES, make
from tests.learners.training import N, policy_data
from tests.processes import apart, free_port

pytestmark = pytest.mark.slow  # Two more processes import torch.

SHARED = ["ranking softmax", "ranking sampled", "choice pooled", "choice maxent", "generator"]
POLICIES = ["policy ppo", "policy slate-sarsa", "policy uneven", "replay soft-q", "offline iql"]
POLICIES += ["replay uneven", "offline bc"]
ALONE = {
    "imitation GAIL": "GAIL learns in one process",
    "policy odd": "9 sessions cannot be shared out evenly",
}
FREE = "policy.items.2.bias"
"""Adds to all logits alike: its slope is rounding alone, of which Adam makes whole steps."""
UNEVEN = {"sessions": 6, "steps": 5, "batch_size": 7}
"""Sessions that are over at different times, and batches with more rows of one process."""


class Losses(pl.Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.found = []

    def on_train_start(self, trainer, module):
        if isinstance(module, PolicyStage):  # steps by itself
            update = module.update

            def watched(losses, which=0, part=1.0):
                total = sum(value.sum() for name, value in losses.items() if "loss" in name)
                self.found.append(part * float(total.detach()))
                return update(losses, which, part)

            module.update = watched

    def on_train_batch_end(self, trainer, module, outputs, *_):
        if isinstance(outputs, dict) and "loss" in outputs:
            self.found.append(float(outputs["loss"].detach()))


def made(name, folder):
    """A module and its data: a stage that is tried on devices too, or one of these here."""
    if name in STAGES:
        return make(name, folder)
    torch.manual_seed(0)
    if name == "generator":
        data = GeneratorData(str(folder / "data"), str(folder / "identifiers"), batch_size=8)
        return GeneratorModule(data.num_items, 0, without_dropout=1.0), data
    replays = name == "replay uneven"
    kind, slates = (ReplayPolicyModule, 1) if replays else (PolicyModule, 2)
    data = policy_data(folder, max_steps=6, leave_rate=0.4, slate_size=slates)
    settings = {"sessions": 9} if name == "policy odd" else UNEVEN
    more = {"warm_up": 8, "n_step": 2} if replays else {}
    return kind(data.num_items, data.vector_size, **settings, **more), data


def train(name, folder, world):
    """Losses, metrics and weights of a training of 20 steps."""
    kept = Losses()
    ddp = DDP(process_group_backend="gloo", find_unused_parameters=True)
    how = {"strategy": ddp if world > 1 else "auto", "use_distributed_sampler": False}
    how |= {"max_steps": 20, "devices": world, "callbacks": [kept]}
    try:
        module, trainer = training.train(*made(name, folder), None, **how)
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
    names = [*SHARED, *POLICIES, *ALONE]
    words = torch.randn(N + 1, 4, generator=torch.Generator().manual_seed(0))
    Identifiers(N, 4, 4, 2, 4).fit(words, words).save_pretrained(bandit / "identifiers")
    apart(train_together, *((rank, 2, port, bandit, files[rank], names) for rank in range(2)))
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("name", [*SHARED, *POLICIES])
def test_two_processes_come_to_what_one_does(bandit, both, name):
    one = train(name, bandit, 1)
    first, second = (found[name] for found in both)
    assert len(one["losses"]) >= 20
    assert all(len(found["losses"]) == len(one["losses"]) for found in (first, second))
    # Each process gives its part of the loss; gradients, and so losses, are averaged.
    mean = (torch.tensor(first["losses"]) + torch.tensor(second["losses"])) / 2
    # IQL's are some thousands here, which float32 writes to a few 1e-4.
    torch.testing.assert_close(mean, torch.tensor(one["losses"]), atol=1e-5, rtol=1e-6)
    for key, weight in one["weights"].items():
        if key != FREE:
            torch.testing.assert_close(first["weights"][key], weight, atol=1e-5, rtol=0)
        assert torch.equal(first["weights"][key], second["weights"][key]), key
    assert first["metrics"] == second["metrics"]
    if name in SHARED:
        assert first["metrics"] == pytest.approx(one["metrics"], abs=1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_what_learns_from_all_at_once_refuses_a_second_process(both, name):
    for found in both:
        assert found[name]["refused"] == (
            f"{ALONE[name]}, and the recipe asks for 2 processes. Set trainer.devices to 1."
        )


def test_shares_are_of_all_rows_and_of_nothing_twice():
    rows = list(range(11))
    parts = [rows[Share(rank, 3).rows] for rank in range(3)]
    assert sorted(row for part in parts for row in part) == rows
    # A rest of two rows has none for the third process.
    assert [Share(0, 3).batches(count, 4) for count in (8, 10, 11)] == [2, 2, 3]
