"""How the processes of a training share its batches."""

from typing import NamedTuple

import torch
from torch import Tensor, distributed

from lightrec.errors import DataError


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


def part_of_all(own: Tensor) -> Tensor | float:
    """The factor that makes averaged gradients those of the mean over all processes' rows.

    :param own: the number or the weight of this process's rows, a scalar.
    :returns: own · processes / total of all processes.
    """
    world = present_share().world
    if world == 1:
        return 1.0
    total = own.detach().clone()
    distributed.all_reduce(total)
    return own * world / total.clamp_min(torch.finfo(torch.float32).tiny)
