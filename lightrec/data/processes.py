"""Several processes that train together: whose rows are whose, and what all of them count."""

from typing import NamedTuple

import torch
from torch import Tensor, distributed

from lightrec.errors import DataError, RecipeError


class Share(NamedTuple):
    """Which rows of every batch a process computes: from the one of its rank on, every world-th.

    Batches are cut and drawn as a single process would do it, and then shared out. So the recipe's
    ``batch_size`` is that of all processes together, and their number changes no result.
    """

    rank: int
    world: int

    @property
    def rows(self) -> slice:
        """The rows of a batch that are one's own."""
        return slice(self.rank, None, self.world)

    def batches(self, rows: int, batch_size: int) -> int:
        """Count the batches that rows make up; a rest without a row for everybody is none."""
        whole, rest = divmod(rows, batch_size)
        return whole + (rest >= self.world)

    def check(self, rows: int, what: str) -> None:
        """Refuse to share out what does not suffice.

        :raises DataError: where there are fewer rows than processes.
        """
        if self.world > 1 and rows < self.world:
            raise DataError(
                f"There are {rows} {what} for {self.world} processes, and each needs one at least: "
                "train with fewer devices."
            )


def present_share() -> Share:
    """Give this process's share; all rows, where it is alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Share(0, 1)
    return Share(distributed.get_rank(), distributed.get_world_size())


def part_of_all(own: Tensor) -> Tensor | float:
    """Give the factor for a mean over a process's own rows before gradients are averaged.

    Averaged over the processes, the gradients are then those of the mean over all rows.

    :param own: how many rows the mean is over, or what they weigh, a scalar.
    :returns: own · processes / what all have.
    """
    world = present_share().world
    if world == 1:
        return 1.0
    total = own.detach().clone()
    distributed.all_reduce(total)
    return own * world / total.clamp_min(torch.finfo(torch.float32).tiny)


def only_one(world: int, module: object) -> None:
    """Refuse several processes, for modules that step several times on sessions that they play.

    :param world: how many processes train.
    :raises RecipeError: where there are several.
    """
    if world > 1:
        raise RecipeError(
            f"{type(module).__name__} plays its own sessions and trains in one process, and the "
            f"recipe asks for {world}. Set trainer.devices to 1; the ranker, users_a and users_b "
            "stages can train in several."
        )
