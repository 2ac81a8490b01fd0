"""The stage `text` by several processes, each with all weights or with a share of them."""

import json
import os
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import FSDPStrategy
from torch import distributed
from torch.distributed.fsdp import FullyShardedDataParallel

from lightrec.encoders import layers
from lightrec.stages.strategies import FSDP2, LAYERS, STRATEGIES
from tests.encoders.topics import fitted, patched
from tests.processes import apart, free_port

GIVEN = {"learning_rate": 0.003, "layers": 1, "tune": "layers"}
STEPS, SLOW = 20, pytest.mark.slow


class CpuFSDP(FSDPStrategy):
    """FSDP1, which is for accelerators alone unless it is told the device."""

    def _setup_model(self, model):
        how = {"device_id": torch.device("cpu"), "use_orig_params": True}
        return FullyShardedDataParallel(module=model, auto_wrap_policy=LAYERS, **how)


KINDS = {"ddp": STRATEGIES["ddp"], "fsdp": CpuFSDP, "fsdp2": FSDP2}


class Steps(Callback):
    """Notes every step's loss, and the weights that are learned before and after."""

    def __init__(self):
        self.losses, self.weights = [], []

    def note(self, trainer):
        whole = trainer.strategy.model
        is_fsdp = isinstance(whole, FullyShardedDataParallel)
        with whole.summon_full_params(whole) if is_fsdp else nullcontext():
            found = {}
            for name, each in trainer.lightning_module.named_parameters():
                if each.requires_grad:
                    full = each.full_tensor() if hasattr(each, "full_tensor") else each
                    found[name.replace("_fsdp_wrapped_module.", "")] = full.detach().clone().numpy()
        self.weights.append(found)

    def on_train_batch_start(self, trainer, module, *_):
        if not self.weights:
            self.note(trainer)

    def on_train_batch_end(self, trainer, module, outputs, *_):
        loss = outputs["loss"].detach().clone()
        if distributed.is_initialized():
            distributed.all_reduce(loss)
            loss /= distributed.get_world_size()
        self.losses.append(float(loss))

    def on_train_end(self, trainer, module):
        self.note(trainer)


def steps(rank, world, port, folders, folder, kind, tune, chunk=64):
    """Train for some steps, as one process of several; gives losses and weights."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ |= {"NODE_RANK": "0", "WORLD_SIZE": str(world)}
    how = {} if world == 1 else {"strategy": KINDS[kind](process_group_backend="gloo")}
    noted = Steps()
    with pytest.MonkeyPatch.context() as patch:
        patched(patch, folder)
        patch.setattr(layers, "CHUNK", chunk)
        how |= {"devices": world, "use_distributed_sampler": False, "max_steps": STEPS}
        how |= {"enable_checkpointing": False, "callbacks": [noted]}
        fitted(folders, folder, epochs=100, given=GIVEN | {"tune": tune}, **how)
    return noted.losses, noted.weights


@pytest.fixture(scope="module")
def steady(folders, tmp_path_factory):
    """The prepared log, and the text model without dropout, which would fall otherwise in each."""
    folder = shutil.copytree(folders[1], tmp_path_factory.mktemp("steady") / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folders[0], folder


@pytest.mark.parametrize(
    ("kind", "tune"),
    [
        (kind, tune) if (kind, tune) == ("fsdp2", "lora") else pytest.param(kind, tune, marks=SLOW)
        for kind in KINDS
        for tune in ("layers", "lora", "full")
    ],
)
def test_several_processes_learn_what_one_does(steady, tmp_path, kind, tune):
    port, chunk = free_port(), 8 if kind == "fsdp2" else 64  # of 25 texts and of 24
    (losses, (before, after)), _ = apart(
        steps, *((rank, 2, port, steady, tmp_path, kind, tune, chunk) for rank in range(2))
    )
    ((alone, (_, learned)),) = apart(steps, (0, 1, port, steady, tmp_path, kind, tune))
    assert len(losses) == STEPS
    np.testing.assert_allclose(losses, alone, atol=1e-5)
    assert {*before} == {*after} == {*learned}
    for name, weights in after.items():
        assert not np.array_equal(weights, before[name]), name
        if "key.bias" not in name:  # which the softmax cancels: it learns from rounding alone
            np.testing.assert_allclose(weights, learned[name], atol=1e-4, err_msg=name)
