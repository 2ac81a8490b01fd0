"""Trains stages by 20 steps, alone or as one of several processes."""

import os

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy

from lightrec.errors import LightrecError
from tests.learners.stages import make
from tests.learners.training import QUIET


class Losses(pl.Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, module, outputs, *_):
        if isinstance(outputs, dict) and "loss" in outputs:
            self.found.append(float(outputs["loss"].detach()))


def train(name, folder, world):
    """Give what a training of 20 steps came to."""
    module, data = make(name, folder)
    kept = Losses()
    ddp = DDPStrategy(process_group_backend="gloo", find_unused_parameters=True)
    strategy = ddp if world > 1 else "auto"
    trainer = pl.Trainer(
        max_steps=20,
        accelerator="cpu",
        devices=world,
        strategy=strategy,
        use_distributed_sampler=False,
        callbacks=[kept],
        **QUIET,
    )
    torch.manual_seed(1)
    try:
        trainer.fit(module, data)
    except LightrecError as error:
        return {"refused": str(error)}
    metrics = {n: float(v) for n, v in trainer.callback_metrics.items()}
    return {"losses": kept.found, "metrics": metrics, "weights": module.state_dict()}


def train_together(rank, world, port, folder, out, names):
    """Write by name what trainings came to."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(world)}
    torch.save({name: train(name, folder, world) for name in names}, out)
