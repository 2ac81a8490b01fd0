"""Each check of a stage's module and of a command fails for one that is wrong in just that."""

import random
from functools import wraps
from pathlib import Path
from typing import Literal

import pytest
import torch
from lightrec_testing import CommandChecks, StageChecks
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightrec.api import StageData, StageModule

CHANCE = random.Random()


class Line(StageModule):
    """A line through points, with noise."""

    monitor, mode = "validation/loss", "min"

    def __init__(self, num_items: int, vector_size: int, rate: float = 0.1):
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.line = nn.Linear(2, 1)
        self.steps = 0

    def training_step(self, batch, number):
        self.steps += 1
        noise = 0.1 * torch.randn(len(batch[0]), 1)
        return self.change((self.line(batch[0]) + noise - batch[1]).square().mean())

    def change(self, loss):
        return loss

    def validation_step(self, batch, number):
        self.log("validation/loss", (self.line(batch[0]) - batch[1]).square().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.settings.rate)

    def write(self, folder: Path):
        torch.save(self.line.state_dict(), folder / "line")
        return {"validation/slope": float(self.line.weight[0, 0])}


class Keeps(Line):
    def __init__(self, num_items: int, vector_size: int, rate: object = None):
        super().__init__(num_items, vector_size)
        self.save_hyperparameters({"rate": 0.1, "how": lambda: rate})


class Points(StageData):
    """Sixteen points."""

    num_items, vectors = 4, torch.zeros(5, 2)

    def train_dataloader(self):
        x = torch.linspace(-1, 1, 32).reshape(16, 2)
        return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 8, generator=torch.Generator())

    val_dataloader = train_dataloader


def count(log: Path, *, column: str = "item", way: Literal["up", "down"] = "up") -> None:
    """Count the values of a column.

    example:
      lightrec count my.csv --column user

    :param log: a CSV file.
    :param column: which column.
    :param way: of the order.
    """


def told(was: str, instead: str):
    """Give the command with other words in its docstring."""

    @wraps(count)
    def wrong(log, **options):
        pass

    wrong.__doc__ = count.__doc__.replace(was, instead)
    return wrong


def untyped(log) -> None:
    """Count.

    example:
      lightrec count my.csv

    :param log: a CSV file.
    """


def flag_on(*, fast: bool = True) -> None:
    """Count.

    example:
      lightrec count

    :param fast: at once.
    """


def two_lines() -> None:
    """Count the values
    of a column.

    example:
      lightrec count
    """


def test_right_ones_pass(failing):
    assert failing(StageChecks(lambda: (Line(4, 2), Points()), "Line")) == set()
    assert failing(CommandChecks(count, "count")) == set()


@pytest.mark.parametrize(
    ("kind", "wrong", "names"),
    [
        (StageChecks, {"change": lambda s, loss: loss * CHANCE.random()}, {"same seed"}),
        (StageChecks, {"change": lambda s, loss: 0 * loss}, {"learns"}),
        (StageChecks, {"change": lambda s, loss: loss / torch.zeros(())}, {"learns"}),
        (StageChecks, {"change": lambda s, loss: loss * s.steps}, {"resumed"}),
        (StageChecks, {"__init__": Keeps.__init__}, {"resumed"}),
        (StageChecks, {"monitor": "validation/ndcg"}, {"monitored"}),
        (StageChecks, {"write": lambda s, folder: {}}, {"written"}),
        (CommandChecks, told("lightrec count", "light count"), {"examples"}),
        (CommandChecks, told("--column", "--colum"), {"examples"}),
        (CommandChecks, untyped, {"parser"}),
        (CommandChecks, told("param log", "param lag"), {"options described"}),
        (CommandChecks, flag_on, {"defaults"}),
        (CommandChecks, two_lines, {"first line"}),
    ],
)
def test_a_wrong_one_fails(kind, wrong, names, failing):
    def trained():
        return type("Wrong", (Line,), wrong)(4, 2), Points()

    make, part = (wrong, "count") if kind is CommandChecks else (trained, "Wrong")
    assert failing(kind(make, part)) >= names
