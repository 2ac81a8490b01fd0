"""Another processor, imitated: `pytest -p tests.rounding`, which `make test-portable` runs.

Sums, matrix products and exponentials differ in their last bits between instruction sets, numbers
of threads, batch sizes and places in a batch. Here they differ on any machine: of each such result
every number is moved by -1, 0 or 1 units in the last place, as its place and the result's size say.
The same computation so gives the same result again, as on a real machine, and a row that stands
elsewhere gives another one. Numbers that are exact in any order, such as sums of whole numbers,
stay.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
ROUNDED = frozenset(
    {
        *(_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.baddbmm.default),
        *(_ATEN.mv.default, _ATEN.sum.dim_IntList, _ATEN.mean.dim, _ATEN.cumsum.default),
        *(_ATEN.exp.default, _ATEN.log.default, _ATEN.log1p.default, _ATEN.pow.Tensor_Scalar),
        *(_ATEN.sigmoid.default, _ATEN.tanh.default, _ATEN.gelu.default, _ATEN.softplus.default),
        *(_ATEN._softmax.default, _ATEN._log_softmax.default, _ATEN.log_sigmoid_forward.default),
        *(_ATEN.logsumexp.default, _ATEN.logaddexp.default, _ATEN.native_layer_norm.default),
        _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
    }
)
"""Operations whose last bits depend on the processor."""
SHORT = {torch.float32: (torch.int32, 0xFFF), torch.float64: (torch.int64, 0xFFFFFFFF)}
"""By type: its bits as whole numbers, and those that are 0 in numbers of few digits."""


class Rounding(TorchDispatchMode):
    """Moves results of the operations by their last bit."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func not in ROUNDED:
            return result
        if isinstance(result, Tensor):
            return moved(result)
        return type(result)([moved(result[0]), *result[1:]])


def moved(values: Tensor) -> Tensor:
    """Move each number by -1, 0 or 1 units in the last place."""
    if values.dtype not in SHORT or values.numel() < 2:
        return values
    whole, low = SHORT[values.dtype]
    bits = values.detach().contiguous().view(whole)
    place = torch.arange(values.numel(), device=values.device).view(values.shape)
    step = ((place * 2_654_435_761 + values.numel() * 40_503) >> 7) % 3 - 1
    return (bits + step.to(whole) * ((bits & low) != 0)).view(values.dtype)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Run a test and its fixtures so."""
    with Rounding():
        yield
