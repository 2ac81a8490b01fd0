"""A small ranker with some predictions, and its scores as plain numbers for loops in the tests."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightrec.ranking.ranker import Ranker

N, D = 9, 4


@dataclass
class Case:
    """Six predictions over nine items; rows 0 and 3 have the same target, row 5 has seen all."""

    ranker: Ranker
    states: Tensor
    target: Tensor
    table: Tensor

    def seen(self, rows):
        return self.table[rows]

    @property
    def scores(self):
        """scores[row][item], item 0 unused."""
        return (self.states @ self.ranker.item_vectors().T + self.ranker.bias).tolist()

    def taken(self, row):
        """Items that are no negatives of a row."""
        return {0, int(self.target[row]), *self.table[row].tolist()}

    def loss(self, loss):
        return loss(self.ranker, self.states, self.target, self.seen)


def make(dtype=torch.float64):
    torch.manual_seed(0)
    ranker = Ranker(N, size=D).to(dtype)
    for parameter in ranker.parameters():
        torch.nn.init.normal_(parameter)
    target = torch.tensor([2, 5, 7, 2, 1, 4])
    table = torch.zeros(6, 8, dtype=torch.int64)
    table[0, :2], table[1, :3], table[3, 5] = torch.tensor([1, 3]), torch.tensor([5, 5, 8]), 7
    table[5] = torch.tensor([1, 2, 3, 5, 6, 7, 8, 9])
    return Case(ranker, torch.randn(6, D, dtype=dtype, requires_grad=True), target, table)


def softplus(x):
    return math.log1p(math.exp(x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)
