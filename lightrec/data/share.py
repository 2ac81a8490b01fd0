"""How the processes of a training share its batches, and in which order these come."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Sampler

from lightrec.errors import DataError

POOL: Final = 16
"""Rows are sorted by length among so many batches, which saves padding."""
_Batch = TypeVar("_Batch")


class Share(NamedTuple):
    """The rows of every batch that a process computes: every world-th, starting at its rank.

    So the ``batch_size`` of the recipe is that of all processes together, and their number does not
    change results.
    """

    rank: int
    world: int

    @property
    def rows(self) -> slice:
        """The rows of a batch that this process computes."""
        return slice(self.rank, None, self.world)

    def batches(self, rows: int, batch_size: int) -> int:
        """Count the batches in a number of rows; a last one needs a row for every process."""
        return rows // batch_size + (rows % batch_size >= self.world)

    def check(self, rows: int, what: str) -> None:
        """Raise a DataError if there are fewer rows than processes."""
        if self.world > 1 and rows < self.world:
            raise DataError(
                f"There are {rows} {what} for {self.world} processes, and each needs one at least: "
                "train with fewer devices."
            )


def present_share() -> Share:
    """This process's share: all rows, if it is the only one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Share(0, 1)
    return Share(distributed.get_rank(), distributed.get_world_size())


def part_of_all(amount: Tensor) -> Tensor | float:
    """The factor that makes averaged gradients those of the mean over all processes' rows.

    :param amount: the number or the weight of this process's rows, a scalar.
    :returns: amount · processes / total of all processes.
    """
    world = present_share().world
    if world == 1:
        return 1.0
    total = amount.detach().clone()
    distributed.all_reduce(total)
    return amount * world / total.clamp_min(torch.finfo(torch.float32).tiny)


def of_all(rows: Tensor) -> Tensor:
    """Rows of all processes, in the order of these; differentiable.

    :param rows: (B, ...) of this process; B may differ between them.
    """
    if present_share().world == 1:
        return rows
    counts = _Gathered.apply(torch.tensor([len(rows)], device=rows.device)).tolist()
    wide = torch.cat([rows, rows.new_zeros(max(counts) - len(rows), *rows.shape[1:])])
    parts = _Gathered.apply(wide).split(len(wide))
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


class _Gathered(torch.autograd.Function):
    """Rows of all processes, as many of each: what has a slope in one has it in its own process."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(present_share().world)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> Tensor:
        slope = slopes[0].clone()
        distributed.all_reduce(slope)
        return slope.chunk(present_share().world)[present_share().rank]


class EpochSampler(Sampler[_Batch]):
    """Batches whose order follows from seed and epoch alone.

    Its ``__iter__`` is a generator: Lightning asks for the iterator before it tells the epoch.

    :param seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the number of the epoch, which Lightning gives before each pass."""
        self.epoch = epoch

    def generator(self) -> np.random.Generator:
        """The epoch's own source of chance."""
        return np.random.default_rng((self.seed, self.epoch))


class RowSampler(EpochSampler[NDArray[Any]]):
    """Batches of rows of like lengths, in an order that follows from seed and epoch alone.

    Of each batch a process gets its own share, see :class:`Share`.

    :param drawn: gives a data set's rows in a random order, and their lengths.
    :param count: of the rows.
    :param batch_size: rows in a batch of all processes together.
    :param seed: of the run.
    """

    def __init__(
        self,
        drawn: Callable[[np.random.Generator], tuple[NDArray[Any], NDArray[np.int64]]],
        count: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(seed)
        self.drawn, self.count, self.batch_size = drawn, count, batch_size

    def __len__(self) -> int:
        return present_share().batches(self.count, self.batch_size)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        generator, size = self.generator(), self.batch_size
        rows, lengths = self.drawn(generator)
        share, batches = present_share(), []
        for start in range(0, len(rows), POOL * size):
            order = start + np.argsort(lengths[start : start + POOL * size], kind="stable")
            batches += [order[i : i + size] for i in range(0, len(order), size)]
        for number in generator.permutation(len(batches)):
            if len(batches[number]) >= share.world:
                yield rows[batches[number][share.rows]]
