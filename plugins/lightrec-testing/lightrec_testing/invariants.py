"""Promises of parts of all kinds about their inputs and outputs."""

import copy
import pickle
import random
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightrec.keys import Key
from lightrec.nn.part import Part
from lightrec_testing.contract import Check, DoesNotApply, Faults, checks_of, name_of, promise

SEED = 20_240_101
TOLERANCE = 1e-5
"""Distance by which equal numbers may differ; relative where they are above 1."""
ROUNDING = 8 * torch.finfo(torch.float32).eps
"""The same, relative to the largest number of a row. A sum of large parts that almost cancel is
rounded as they are, and matrix products of another shape add them up in another order."""


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python for a block, and put them back."""
    numpy, python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng():
            for set_seed in (torch.manual_seed, np.random.seed, random.seed):
                set_seed(seed)
            yield
    finally:
        np.random.set_state(numpy)
        random.setstate(python)


@dataclass(eq=False)
class Checks:
    """The checks of one part: a list of :class:`~lightrec_testing.contract.Check`.

    :param make: builds a fresh part, such as its class.
    :param part: its name in ids and messages; by default that of ``make``.
    """

    inputs: ClassVar[str] = "inputs"
    """Name of a part's inputs, in the plural, for messages."""
    outputs: ClassVar[str] = "outputs"
    """Name of its outputs."""
    passes: ClassVar[tuple[str, ...]] = ()
    """The arguments that ``make`` is called with."""
    sample: ClassVar[str] = ""
    """The argument of the checks that a part's own class method ``sample(folder)`` gives: it writes
    what it must into an empty folder, and returns what the part is tried on."""
    hint: ClassVar[str] = ""
    """Further advice for outputs that are not as declared."""

    make: Callable[..., Any]
    part: str = ""

    def __post_init__(self) -> None:
        self.part = self.part or name_of(self.make)

    def __iter__(self) -> Iterator[Check]:
        members: dict[str, Any] = {}
        for cls in reversed(type(self).__mro__):
            members |= vars(cls)
        functions = [value for value in members.values() if hasattr(value, "advice")]
        words = {name: getattr(self, name) for name in ("inputs", "outputs", "hint")}
        for check in checks_of(self.part, functions, self, **words):
            yield replace(check, run=seeded()(check.run))


class PartChecks(Checks, ABC):
    """The checks of a part that gives an output for an input."""

    may_draw: ClassVar[bool] = False
    """Whether outputs may be drawn from the global generators."""

    @abstractmethod
    def _input(self, part: Any) -> Any:
        """Make the standard input; what is drawn comes from torch's global generator."""

    @abstractmethod
    def _call(self, part: Any, example: Any) -> Any:
        """The output for an input: something that can be compared, or a mapping of such."""

    def _ready(self) -> Any:
        """Build a part, in evaluation mode."""
        part = self.make()
        return part.eval() if isinstance(part, nn.Module) else part

    def _loaded(self, part: Any) -> Any:
        """The part as it is when it was saved and loaded."""
        if isinstance(part, Part):
            with tempfile.TemporaryDirectory() as folder:
                part.save_pretrained(folder)
                return type(part).from_pretrained(folder).eval()
        fresh = self._ready()
        if isinstance(part, nn.Module):
            fresh.load_state_dict(part.state_dict())
        return fresh

    def _snapshot(self, example: Any) -> object:
        """Copy an input."""
        return copy.deepcopy(example)

    def _learned(self, part: Any, example: Any) -> dict[str, Tensor]:
        """Name the tensors that gradients must reach."""
        named = part.named_parameters() if isinstance(part, nn.Module) else ()
        return {name: value for name, value in named if value.requires_grad and value.numel()}

    def standard(self, part: Any = None) -> Any:
        """Make the standard input, the same each time."""
        with seeded():
            return self._input(part)

    def fresh(self) -> tuple[Any, Any]:
        """A fresh part, and the standard input for it."""
        part = self._ready()
        return part, self.standard(part)

    def output(self, part: Any, example: Any = None, seed: int = SEED) -> Any:
        """Call a part, with the standard input unless another is given, under a seed."""
        example = self.standard(part) if example is None else example
        with seeded(seed):
            return self._call(part, example)

    @cached_property
    def trials(self) -> tuple[list[Any], list[Any], list[dict[str, object]]]:
        """Outputs of one part for the same input under two seeds, that input before and after the
        first call, and the states of the generators after both.
        """
        part, outputs, inputs = self._ready(), list[Any](), list[Any]()
        generators: list[dict[str, object]] = []
        for seed in (1, 2):
            example = self.standard(part)
            inputs.append(self._snapshot(example))
            with seeded(seed):
                outputs.append(self._call(part, example))
                states = torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()
            names = ("torch", "NumPy", "Python")
            generators.append(dict(zip(names, map(pickle.dumps, states), strict=True)))
            inputs.append(self._snapshot(example))
        return outputs, inputs[:2], generators

    def must_be_steady(self, drawn: bool = False) -> None:
        """Skip a comparison of two calls where the calls differ by themselves.

        :param drawn: whether to skip it also where the part may draw, and does.
        """
        if (drawn or not self.may_draw) and any(differences(*self.trials[0])):
            why = "are drawn again each time" if self.may_draw else "change from call to call"
            raise DoesNotApply(f"Its {self.outputs} {why}.")

    def differing(self, one: Any, other: Any, of: Callable[[Any], Any] = lambda x: x) -> Faults:
        """Yield how the outputs for two inputs differ; ``of`` gives what of them is compared."""
        self.must_be_steady()
        part = self._ready()
        yield from differences(of(self.output(part, one)), of(self.output(part, other)))

    @promise("Take chance and running statistics out of it; `eval()` turns `nn.Dropout` off.")
    def deterministic(self) -> Faults:
        """The same {inputs} give the same {outputs} again."""
        if self.may_draw:
            self.must_be_steady(drawn=True)
        yield from differences(*self.trials[0])

    @promise("Clone what you write into, and take `x = x + y` in place of `x += y`.")
    def input_unchanged(self) -> Faults:
        """The {inputs} that are given are only read."""
        yield from differences(*self.trials[1])

    @promise("Draw from a generator of your own that is made from a seed, and seed nothing else.")
    def global_chance(self) -> Faults:
        """Nothing seeds the global generators of torch, NumPy and Python."""
        one, other = self.trials[2]
        for name in (name for name in one if one[name] == other[name]):
            yield f"After a call the generator of {name} is at one place, wherever it was."

    @promise(
        "Register every tensor that {outputs} depend on, by `register_buffer` or as a parameter, "
        "take plain arguments, draw nothing in the constructor that is not saved, and keep open "
        "files, locks and lambdas out of the attributes."
    )
    def saved(self) -> Faults:
        """A part that is saved and loaded, pickled as for workers, or built alike, gives the same
        {outputs} to the bit.
        """
        self.must_be_steady()
        part = self._ready()
        for parameter in part.parameters() if isinstance(part, nn.Module) else ():
            parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
        fresh = self._loaded(part)
        yield from differences(self.output(part), self.output(fresh), exact=True)
        if importable(type(part)):
            there = pickle.loads(pickle.dumps(part))
            yield from differences(self.output(part), self.output(there), exact=True)


class BatchChecks(PartChecks):
    """The checks of a part that gives a row of output for each row of its input."""

    @abstractmethod
    def _declared(self, part: Any, example: Any) -> tuple[tuple[int, ...], object]:
        """The shape and dtype that the output for an input must have."""

    def _odd(self, part: Any) -> Mapping[str, Any]:
        """Make further inputs that a part must bear, by what they are."""
        return {}

    def _not_finite(self, output: Any) -> int:
        """Count the numbers that may not be in an output."""
        return int((~output.isfinite()).sum())

    def _differentiable(self, part: Any, example: Any) -> Any:
        """The output through which a part is trained."""
        return self.output(part, example)

    @promise(
        "Return one row for each row of the input; look for divisions by 0, and logarithms. {hint}"
    )
    def output_as_declared(self) -> Faults:
        """The {outputs} of any {inputs} have the declared shape and type, and are finite."""
        part = self._ready()
        for what, example in {"": self.standard(part), **self._odd(part)}.items():
            place = f"For {what}, " if what else ""
            try:
                output, (shape, dtype) = self.output(part, example), self._declared(part, example)
            except Exception as error:
                error.add_note(place)
                raise
            where = getattr(output, "device", None) in (None, torch.device("cpu"))
            if getattr(output, "shape", None) != shape or output.dtype != dtype or not where:
                expected = f"{shape} {dtype} on the CPU was expected"
                yield f"{place or 'There '}came {described(output)}, where {expected}."
            elif bad := self._not_finite(output):
                yield f"{place}{bad} of {described(output)} are NaN, infinite or null."

    @promise(
        "Compute each row from itself: leave padding out, normalise nothing over the batch, and "
        "put rows that were sorted or grouped back into their places."
    )
    def rows_apart(self) -> Faults:
        """The {inputs} have the same {outputs} alone, next to others, in any order, and twice."""
        self.must_be_steady(drawn=True)
        part, batch = self.fresh()
        whole, rows = leaves(self.output(part, batch)), range(len(batch))
        for places in (*([row] for row in rows), [*reversed(rows), 1, 1]):
            some = [batch[i] for i in places] if isinstance(batch, list) else batch[places]
            expected = {name: leaf[places] for name, leaf in whole.items()}
            for fault in differences(expected, self.output(part, some)):
                yield f"In a batch of the rows {places}: {fault}"

    @promise(
        "Make new tensors with `device=` and `dtype=` of the input, register tensors as buffers, "
        "and compute in float32 what bfloat16 cannot, under `torch.autocast(..., enabled=False)`."
    )
    def devices(self) -> Faults:
        """The {outputs} are finite on every device that there is, in float32 and in bfloat16; all
        that they need moves there with the part.
        """
        part, batch = self.fresh()
        if not isinstance(part, nn.Module):
            raise DoesNotApply("It is no torch.nn.Module, which devices are for.")
        moves = hasattr(batch, "to")
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            for mixed in (False, True):
                batch, expected = self.standard(part), device if moves else "cpu"
                batch = batch.to(device) if moves else batch
                with torch.autocast(device, torch.bfloat16, enabled=mixed):
                    output = self.output(part.to(device), batch)
                if output.device.type != expected or self._not_finite(output):
                    how = "under bfloat16 autocast" if mixed else "in float32"
                    yield f"For {self.inputs} on {device}, {how}, they are {described(output)}."
        try:  # a device on which nothing is computed stands for those that are not here
            stays = moves and self.output(part.to("meta"), self.standard().to("meta")).is_cpu
        except Exception as error:  # much cannot be done without numbers
            stays = "expected" in str(error) and "device" in str(error)
        if stays:
            yield "Moved to another device, it still needs tensors on the CPU."

    @promise(
        "Take `no_grad`, `detach` and `numpy` out of it and leave out parameters without a use; "
        "call `requires_grad_(False)` on what is not trained."
    )
    def gradients(self) -> Faults:
        """The gradient of the {outputs} reaches all that is trained; where nothing is, there is
        no graph.
        """
        part, batch = self.fresh()
        learned = self._learned(part, batch)
        with torch.enable_grad():
            output = self._differentiable(part, batch)
            if output.requires_grad and not learned:
                yield "It has nothing to train, and what it gives needs a gradient."
            elif output.requires_grad:
                (output * torch.randn_like(output)).nansum().backward()
        missed = [n for n, p in learned.items() if p.grad is None or not (p.grad != 0).any()]
        if missed:
            yield f"It does not reach {', '.join(missed)}."


class HistoryChecks(BatchChecks):
    """The checks of a part that reads histories, and by default gives a number for each item."""

    def _input(self, part: Any) -> Any:
        from tensordict import TensorDict  # it takes long to import, and most kinds do without

        return TensorDict({Key.HISTORY: drawn_histories(part.num_items)}, [6])

    def _odd(self, part: Any) -> Mapping[str, Any]:
        state = self.standard(part)
        return {"empty histories": state.set(Key.HISTORY, 0 * state[Key.HISTORY])}

    def _declared(self, part: Any, example: Any) -> tuple[tuple[int, ...], object]:
        return (len(example), part.num_items + 1), torch.float32

    @promise(
        "Leave out what is 0 in the history, count from its right end, and state as "
        "`history_length` how many of its last steps are read."
    )
    def padding(self) -> Faults:
        """Neither more padding on the left of the history changes the {outputs}, nor what stands
        before its last `history_length` steps.
        """
        part, state = self.fresh()
        history = state[Key.HISTORY]
        yield from self.differing(None, state.clone().set(Key.HISTORY, pad(history, (5, 0))))
        if length := getattr(part, "history_length", None):
            items = torch.randint(1, int(history.max()) + 1, (2, len(state), length + 5))
            items[1, :, 5:] = items[0, :, 5:]
            yield from self.differing(*(state.clone().set(Key.HISTORY, each) for each in items))


def drawn_histories(num_items: int) -> Tensor:
    """Draw histories (6, 8) int64 of eight items and fewer, the last of none."""
    history = torch.randint(1, num_items + 1, (6, 8))
    return history * (torch.arange(8) >= torch.tensor([0, 1, 2, 3, 4, 8]).unsqueeze(1))


def of_items(scores: Tensor) -> Tensor:
    """Scores (B, N + 1) without what stands in the column of padding, which says nothing."""
    return pad(scores[:, 1:], (1, 0))


def importable(cls: type) -> bool:
    """Whether a class is found by its name, as pickling needs."""
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls


def leaves(value: Any) -> dict[str, Any]:
    """List what an output consists of, by name; the name of a single thing is empty."""
    if hasattr(value, "flatten_keys"):  # a TensorDict, whose package takes long to import
        value = value.flatten_keys()
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {"": value}


def differences(one: Any, other: Any, exact: bool = False) -> Faults:
    """Yield how two outputs differ; numbers within the tolerance are the same unless ``exact``."""
    first, second = leaves(one), leaves(other)
    if missing := first.keys() ^ second.keys():
        yield f"One of two lacks {', '.join(sorted(missing))}."
    for name in sorted(first.keys() & second.keys()):
        if fault := _difference(first[name], second[name], exact):
            yield f"In {name}, {fault}." if name else f"{fault[0].upper()}{fault[1:]}."


def _difference(one: Any, other: Any, exact: bool) -> str:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        equals = getattr(one, "equals", None)  # of polars
        same = np.array_equal(one, other) if equals is None else equals(other)
        same = same and getattr(one, "schema", None) == getattr(other, "schema", None)
        return "" if same else f"{one!r:.200} became {other!r:.200}"
    if one.shape != other.shape:
        return f"the shapes are {tuple(one.shape)} and {tuple(other.shape)}"
    same = (one == other) | (one.isnan() & other.isnan())
    first = one.detach().double()
    apart = (first - other.detach().double()).abs()
    if one.is_floating_point() and not exact and one.numel():
        size = first.abs().masked_fill(~first.isfinite(), 0)
        row = size if size.ndim < 2 else size.amax([*range(1, size.ndim)], keepdim=True)
        same |= apart <= (TOLERANCE * size.clamp_min(1)).maximum(ROUNDING * row)
    apart = apart[~same]
    if not len(apart):
        return ""
    return f"{len(apart)} of {one.numel()} numbers differ, by up to {apart.max():.2g}"


def described(thing: object) -> str:
    """Name the shape, type and device of a tensor or what is like one, else its class."""
    words = [str(getattr(thing, name, "")) for name in ("shape", "dtype", "device")]
    return " ".join(filter(None, words)) if all(words[:2]) else f"a {type(thing).__name__}"
