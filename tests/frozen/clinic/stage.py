"""A stage that is trained, one that reads what it left, and a command."""

import json
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from lightrec.data.stage_data import LogData
from lightrec.nn.stage import StageModule
from lightrec.run import Run


class VisitData(LogData):
    """How often each item was visited in training.

    :param data: folder of the prepared log.
    :param seed: of nothing.
    """

    vector_size = 1

    def __init__(self, data: str, seed: int = 0) -> None:
        super().__init__(data)

    @property
    def vectors(self):
        return torch.from_numpy(self.store.popularity()).float().unsqueeze(1)

    def train_dataloader(self):
        return DataLoader(self.vectors[1:].log1p(), batch_size=16)

    val_dataloader = train_dataloader


class MeanVisits(StageModule):
    """Learns the mean of the logarithm of visits.

    :param num_items: N.
    :param vector_size: 1.
    """

    monitor, mode = "validation/error", "min"

    def __init__(self, num_items: int, vector_size: int, feedback_kinds: int = 0) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.mean = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, index):
        return (batch - self.mean).square().mean()

    def validation_step(self, batch, index):
        self.log("validation/error", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.4)

    def write(self, folder):
        (folder / "mean.json").write_text(json.dumps(self.mean.item()))
        return {"mean": self.mean.item()}


def report(stage, digits: int, seed: int = 0) -> None:
    """Say what the stage `visits` learned.

    :param digits: behind the point.
    :param seed: of nothing.
    """
    stage.prepare_work()
    run = Run(stage.run)
    run.check(*stage.inputs)
    mean = json.loads((run.folder("visits") / "mean.json").read_text())
    with stage.output(seed) as folder:
        (folder / "said.txt").write_text(f"{run.data.num_items} items, {mean:.{digits}f}\n")


def count(run: Path, *, kind: str = "lamp") -> None:
    """Count the items of a kind.

    example:
      lightrec clinic runs/clinic --kind rope

    :param run: folder of a run.
    :param kind: of the items.
    """
    print(f"{(Run(run).data.catalog['kind'] == kind).sum()} items of the kind {kind}")
