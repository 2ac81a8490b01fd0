"""Stages and worlds keep to one device, whichever it is, and to numbers that every device has."""

import json
import os
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch

from tests.learners.stages import STAGES, make

WORLDS = [
    "UserModelSimulator", "TinyWorld", "Far", "Greed", "Retention", "InterestEvolution",
    "LongTermSatisfaction", "Absorbing", "ChoiceProcess",
]  # fmt: skip
TRAINED = [
    "ranking softmax", "ranking sampled", "ranking in-batch", "ranking bpr", "ranking GRU",
    "choice pooled", "choice recurrent", "choice maxent",
    "policy ppo", "policy reinforce-top-k", "policy slate-sarsa",
    "replay dqn", "replay sac", "replay slate-q", "imitation GAIL", "imitation SQIL",
]  # fmt: skip
"""One stage of each kind of network, loss and buffer."""


@pytest.fixture(scope="module")
def found(bandit):
    """What went wrong, by name; one process for all, as it must know the device from its start."""
    command = [sys.executable, "-m", "tests.learners.on_second_device", str(bandit)]
    run = subprocess.run(
        [*command, *WORLDS, *TRAINED], capture_output=True, text=True, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


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
