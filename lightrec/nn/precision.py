"""Numbers that mixed precision must leave alone: losses and scores whose order counts."""

from functools import reduce

import torch
from torch import Tensor


def full_precision(device: torch.device) -> torch.autocast:
    """Give a context in which nothing is computed in fewer bits than its inputs have."""
    return torch.autocast(device.type, enabled=False)


def at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """Bring tensors to one type: float32, or float64 where one of them has it."""
    types = (tensor.dtype for tensor in tensors)
    common = reduce(torch.promote_types, types, torch.float32)
    return [tensor.to(common) for tensor in tensors]
