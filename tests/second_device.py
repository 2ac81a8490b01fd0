"""A second device where there is none: its tensors compute on the processor, and refuse to meet
tensors of the processor, as those of a real device do.

To be imported before the first gradient of a process, which asks for the devices that there are."""

from contextlib import contextmanager

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from lightrec.nn.precision import WITHOUT_FLOAT64

NAME = "elsewhere"

CPU = torch.device("cpu")
MOVES = {"aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::lift_fresh"}
"""What may read tensors of another device."""
INDICED = {"aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
"""What takes indices of the processor, too."""


class Elsewhere(Tensor):
    """A tensor of the second device; its numbers lie in ``inner``, on the processor."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        if inner.dtype == torch.float64:
            raise TypeError("The second device has no float64, as Apple's has none.")
        found = Tensor._make_wrapper_subclass(
            cls, inner.size(), inner.stride(), inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE, requires_grad=False,
        )  # fmt: skip
        found.inner = inner
        return found

    def __repr__(self) -> str:
        return f"Elsewhere({self.inner!r})"

    def __deepcopy__(self, memo):
        copied = Elsewhere(self.inner.clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def tolist(self):
        return self.detach().inner.tolist()

    def numpy(self, **_):
        raise TypeError("A tensor of another device has no numpy array: move it to the CPU first.")

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return dispatch(function, args, kwargs or {})


def dispatch(function, args, kwargs):
    """Compute on the processor, and give what belongs to the second device as its own."""
    name = function._schema.name
    away = _is_away(name, args, kwargs)
    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": CPU}

    def inner(x):
        return x.inner if isinstance(x, Elsewhere) else x

    def outer(x):
        return Elsewhere(x) if isinstance(x, Tensor) and not isinstance(x, Elsewhere) else x

    found = GRU.get(name, function)(*tree_map(inner, args), **tree_map(inner, kwargs))
    if not away:
        return found
    return return_and_correct_aliasing(function, args, kwargs, tree_map(outer, found))


def _is_away(name, args, kwargs):
    """Tell whether the outcome is the second device's.

    :raises RuntimeError: where tensors of two devices meet.
    """
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"]).type == NAME
    if name == "aten::copy_":
        return isinstance(args[0], Elsewhere)
    leaves, _ = tree_flatten((args, kwargs) if name not in INDICED else (args[0], args[2:]))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    away = any(isinstance(t, Elsewhere) for t in tensors)
    here = [t for t in tensors if t.ndim and not isinstance(t, Elsewhere)]
    if name in INDICED and not away:
        here = [t for t in args[1] if isinstance(t, Elsewhere)]
        away = bool(here)
    if away and here and name not in MOVES:
        shapes = [tuple(t.shape) for t in here]
        raise RuntimeError(f"{name} was given tensors of two devices, on the processor: {shapes}.")
    return away


def _gru(inputs, hidden, state, input_bias, hidden_bias):
    """Give what devices compute in one piece, and what its gradient asks for."""
    known = torch.cat([inputs + input_bias, hidden + hidden_bias, state], 1)
    _, update, fresh = _gates(known)[:3]
    return fresh + update * (state - fresh), known


def _gates(known):
    size = known.shape[1] // 7
    from_input, from_hidden, state = known.split([3 * size, 3 * size, size], 1)
    gates = (from_input + from_hidden)[:, : 2 * size].sigmoid()
    reset, update = gates.chunk(2, 1)
    last = from_hidden[:, 2 * size :]
    return reset, update, (from_input[:, 2 * size :] + reset * last).tanh(), last, state


def _gru_gradient(gradient, known, has_bias):
    reset, update, fresh, last, state = _gates(known)
    new = gradient * (1 - update) * (1 - fresh**2)
    first = new * last * reset * (1 - reset)
    second = gradient * (state - fresh) * update * (1 - update)
    inputs, hidden = torch.cat([first, second, new], 1), torch.cat([first, second, new * reset], 1)
    return inputs, hidden, gradient * update, inputs.sum(0), hidden.sum(0)


GRU = {"aten::_thnn_fused_gru_cell": _gru, "aten::_thnn_fused_gru_cell_backward": _gru_gradient}
"""What the processor has no operator for."""


class _Module(_DummyBackendModule):
    def synchronize(self, *_):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def get_rng_state(self, *_):
        return torch.get_rng_state()

    def set_rng_state(self, state, *_):
        torch.set_rng_state(state)


_setup_privateuseone_for_python_backend(NAME, _Module())
DEVICE = torch.device(NAME, 0)
WITHOUT_FLOAT64.add(NAME)


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return dispatch(function, args, kwargs or {})


@contextmanager
def second_device():
    """Within it the device can be used like any other."""
    # As fake tensors ask it: numbers become tensors of the processor first, and are moved then.
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with _Mode():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


class SecondAccelerator(CPUAccelerator):
    """The device, for Lightning, which sets up nothing for it."""

    def setup_device(self, device):
        assert device == DEVICE
