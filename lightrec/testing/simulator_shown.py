"""The part of the simulators' contract on what may be shown: masks, offers, refused slates."""

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.testing.contract import DoesNotApply, expect
from lightrec.testing.simulator_play import (
    ROWS,
    MakeSimulator,
    acting,
    rollout,
)


def mask_column_0(make: MakeSimulator) -> None:
    """Padding is no item."""
    simulator = make(ROWS)
    if simulator.offer_size is not None:
        raise DoesNotApply("It makes offers, and has no mask.")
    masks = _masks(rollout(simulator))
    expect(
        not masks[..., PADDING].any(),
        "Column 0 of the mask is False in every state, since 0 is no item.",
        f"It is True in {int(masks[..., PADDING].sum())} states.",
        "Set `mask[:, 0] = False` in `start`, and in what replaces the base class's step.",
    )


def next_mask(make: MakeSimulator) -> None:
    """What was shown leaves the mask, unless items repeat."""
    simulator = make(ROWS)
    if simulator.offer_size is not None:
        raise DoesNotApply("It makes offers, and has no mask.")
    steps = rollout(simulator)
    shown, following = steps[Key.ACTION], steps["next", Key.MASK]
    again = following.gather(-1, shown) & (shown > PADDING)
    if simulator.repeats:
        expect(
            (again == (shown > PADDING)).all(),
            "Where items repeat, what was shown may be shown again.",
            f"{int(((shown > PADDING) & ~again).sum())} items shown have left the mask.",
            "Keep the mask as it is where `self.repeats` is True.",
        )
    expect(
        simulator.repeats or not again.any(),
        "Where items do not repeat, the next state's mask no longer holds what was shown.",
        f"{int(again.sum())} of {int((shown > PADDING).sum())} items shown may be shown again.",
        "Leave the mask of the next state to the base class, or build the simulator with "
        "`repeats=True`.",
    )


def offers(make: MakeSimulator) -> None:
    """Every state offers distinct items, the one after the last step too."""
    simulator = make(ROWS)
    if simulator.offer_size is None:
        raise DoesNotApply("It has a mask, and makes no offers.")
    steps = rollout(simulator)
    found = torch.cat([steps[Key.CANDIDATES], steps["next", Key.CANDIDATES][:, -1:]], 1)
    ordered = found.sort(-1).values
    again = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] > PADDING)
    outside = (found < PADDING) | (found > simulator.num_items)
    expect(
        not again.any() and not outside.any(),
        f"An offer holds distinct items, 1 to {simulator.num_items}; 0 fills it up.",
        f"{int(again.any(-1).sum())} of {again[..., 0].numel()} offers hold an item twice, "
        f"{int(outside.any(-1).sum())} one that does not exist.",
        "Draw them with `lightrec.simulators.noise.distinct`, which counts from 0: add 1.",
    )


def masked_item(make: MakeSimulator) -> None:
    """An item that may not be shown is refused."""
    simulator = make(ROWS)
    state = acting(simulator, simulator.reset())
    item = int(state[Key.ACTION][0, 0])
    name = Key.MASK if simulator.offer_size is None else Key.CANDIDATES
    state[name] = state[name].clone()
    if simulator.offer_size is None:
        state[name][0, item] = False
    else:
        state[name][0] *= state[name][0] != item
    _refused(simulator, state, "an item that may not be shown")


def repeated_item(make: MakeSimulator) -> None:
    """A slate that holds an item twice is refused."""
    simulator = make(ROWS)
    if simulator.slate_size == 1:
        raise DoesNotApply("Its slates have one place.")
    state = acting(simulator, simulator.reset())
    slate = state[Key.ACTION].clone()
    slate[0, 1] = slate[0, 0]
    state[Key.ACTION] = slate
    _refused(simulator, state, "one item twice")


def _masks(steps: TensorDictBase) -> Tensor:
    return torch.cat([steps[Key.MASK][:, :1], steps["next", Key.MASK]], 1)


def _refused(simulator: Simulator, state: TensorDictBase, what: str) -> None:
    try:
        simulator.step(state)
    except ValueError:
        return
    expect(
        False,
        f"A slate that holds {what} is refused with a ValueError.",
        "It was taken, so that a policy's mistake would go unnoticed.",
        "Call the base class's step, which looks at the slate before users answer.",
    )
