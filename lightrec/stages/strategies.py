"""How processes share a stage's training: Lightning's strategies, by the names of recipes."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
)
from torch.distributed.fsdp.wrap import CustomPolicy

LAYERS: Any = CustomPolicy(lambda module: getattr(module, "sharded", False))
"""What FSDP wraps: parts that say so."""


class Unseeded(Strategy):
    """Leaves torch's chance as it is, which Lightning would begin again where processes meet.

    So weights begin as they would in one process.
    """

    def setup_environment(self) -> None:
        """Meet the other processes."""
        with torch.random.fork_rng(devices=[]):  # weights are made on the CPU
            super().setup_environment()


DDP, FSDP = (type(kind.__name__, (Unseeded, kind), {}) for kind in (DDPStrategy, FSDPStrategy))


class FSDP2(Unseeded, ModelParallelStrategy):
    """Shares each layer's weights out among all processes, and leaves whole checkpoints."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **settings)

    def setup_environment(self) -> None:
        """Take all processes for one group with different data."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()


STRATEGIES: Final[dict[str, Callable[[], Strategy]]] = {
    # Choice models hold a value that is solved for after training, without gradients.
    "ddp": partial(DDP, find_unused_parameters=True),
    "fsdp": partial(FSDP, auto_wrap_policy=LAYERS),
    "fsdp2": FSDP2,
}
"""Strategies whose names mean something else here than to Lightning, or nothing there."""
SHARDED: Final = (FSDPStrategy, ModelParallelStrategy)
"""Strategies by which each process has a part of the weights alone."""
