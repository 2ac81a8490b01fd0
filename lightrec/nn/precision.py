"""Precision of computations: what mixed precision must leave alone, and float64 anywhere."""

from contextlib import AbstractContextManager, nullcontext
from functools import reduce

import torch
from torch import Tensor

WITHOUT_FLOAT64 = {"mps"}
"""Kinds of devices that have no float64."""


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which nothing is computed in fewer bits than its inputs have."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def as_float64(tensor: Tensor) -> Tensor:
    """A tensor in float64: on its device, or on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_FLOAT64 else tensor).double()


def at_least_float32(*tensors: Tensor) -> list[Tensor]:
    """Bring tensors to one type: float32, or float64 where one of them has it."""
    types = (tensor.dtype for tensor in tensors)
    common = reduce(torch.promote_types, types, torch.float32)
    return [tensor.to(common) for tensor in tensors]
