"""Stages and worlds keep to one device, whichever it is, and to numbers that every device has."""

import lightning.pytorch as pl
import pytest
import torch

from tests.learners.stages import STAGES, make
from tests.processes import apart

WORLDS = [
    "UserModelSimulator", "TinyWorld", "Far", "Greed", "Retention", "InterestEvolution",
    "LongTermSatisfaction", "Absorbing", "ChoiceProcess",
]  # fmt: skip
TRAINED = [
    "ranking softmax", "ranking sampled", "ranking GRU",
    "choice pooled", "choice recurrent", "choice maxent",
    "policy ppo", "policy reinforce-top-k", "policy slate-sarsa",
    "replay dqn", "replay sac", "replay slate-q", "imitation GAIL", "imitation SQIL",
    "offline bc", "offline reinforce-top-k", "offline cql", "offline iql", "offline sa2c",
]  # fmt: skip
"""One stage of each kind of network, loss and buffer."""


def look(folder, names):
    # Who imports it has a second device.
    from tests.learners import on_second_device

    return on_second_device.look(folder, names)


@pytest.fixture(scope="module")
def found(bandit):
    """What went wrong, by name; one process for all, as it must know the device from its start."""
    return apart(look, (bandit, [*WORLDS, *TRAINED]))[0]


@pytest.mark.parametrize("name", [*WORLDS, *TRAINED])
def test_all_is_computed_on_one_device(found, name):
    assert found[name] == ""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_and_is_written_on_a_gpu(bandit, tmp_path, name, precision):
    module, data = make(name, bandit)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        devices=1,
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    if hasattr(module, "write"):
        metrics = module.write(tmp_path)
        assert all(value == value for value in metrics.values())
