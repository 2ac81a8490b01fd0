"""How the processes of a training share its batches, and in which order these come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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

    def own(self, rows: Tensor, run: int) -> Tensor:
        """Find this process's rows among some of all, and number them as its own.

        :param rows: int64, numbers among the rows of all processes.
        :param run: rows that stand together, as those of a session do; every world-th run is its.
        """
        runs = rows // run
        return (runs // self.world * run + rows % run)[runs % self.world == self.rank]

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
    return amount * world / summed(amount).clamp_min(torch.finfo(torch.float32).tiny)


def summed(amount: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradients."""
    total = amount.detach().clone()
    if present_share().world > 1:
        distributed.all_reduce(total)
    return total


_DRAWN: ContextVar[tuple[int, Tensor] | None] = ContextVar("drawn", default=None)


@contextmanager
def rows_among(total: int, own: Tensor) -> Iterator[None]:
    """Within it, :func:`random_rows` draws for the rows of all processes, and gives its own.

    So each process has the numbers that its rows would have had in one, and all generators stay
    alike.

    :param total: the number of all processes' rows.
    :param own: (R,) int64, where among them this process's R rows stand.
    """
    token = _DRAWN.set((total, own) if len(own) < total else None)
    try:
        yield
    finally:
        _DRAWN.reset(token)


def shared_rows() -> bool:
    """Whether :func:`random_rows` draws for the rows of several processes."""
    return _DRAWN.get() is not None


def random_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Draw random numbers for ``count`` rows; see :func:`rows_among`.

    :param draw: draws for a number of rows from a generator that all processes have alike.
    """
    among = _DRAWN.get()
    if among is None:
        return draw(count)
    total, own = among
    drawn = draw(total)
    return drawn[own.to(drawn.device)]


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
