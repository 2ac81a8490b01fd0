"""Masks in an eighth of the memory, for what is played to be learned from later."""

import torch
from torch import Tensor

PACKED = "packed_mask"
"""Key of a state's mask as bytes, (..., ⌈(N + 1) / 8⌉) uint8."""


def pack(mask: Tensor) -> Tensor:
    """Write masks (..., N) bool as bytes (..., ⌈N / 8⌉) uint8, the first column lowest."""
    columns = mask.shape[-1]
    whole = torch.nn.functional.pad(mask, (0, -columns % 8)).unflatten(-1, (-1, 8))
    packed = torch.zeros(whole.shape[:-1], dtype=torch.uint8, device=mask.device)
    for bit in range(8):
        packed |= whole[..., bit].to(torch.uint8) << bit
    return packed


def unpack(packed: Tensor, columns: int) -> Tensor:
    """Give back masks (..., N) bool of N columns."""
    mask = torch.empty((*packed.shape, 8), dtype=torch.bool, device=packed.device)
    for bit in range(8):
        mask[..., bit] = (packed >> bit) & 1
    return mask.flatten(-2)[..., :columns]
