"""Simulators played with random slates, for the checks of their contract."""

from collections.abc import Callable

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.testing.chance import SEED

MakeSimulator = Callable[[int], Simulator]

ROWS = 6
STEPS = 12
"""How many steps of a session are looked at where the end does not matter."""


def with_seed(make: MakeSimulator, seed: int) -> Simulator:
    """Build a simulator whose seed is set."""
    simulator = make(ROWS)
    simulator.set_seed(seed)
    return simulator


def acting(simulator: Simulator, state: TensorDictBase) -> TensorDictBase:
    """Add random slates to a state."""
    chance = torch.Generator().manual_seed(SEED)
    return state.set(Key.ACTION, draw_slate(state, simulator, chance))


def first(simulator: Simulator) -> TensorDictBase:
    """Show the first items that may be shown, two steps long; what was there and came."""
    state = simulator.reset()
    for _ in range(2):
        if simulator.offer_size is None:
            size = simulator.slate_size
            slate = (
                state[Key.MASK].int().sort(dim=1, descending=True, stable=True).indices[:, :size]
            )
        else:
            slate = state[Key.CANDIDATES][:, : simulator.slate_size]
        state = simulator.step(state.set(Key.ACTION, slate))["next"]
    return state


def rollout(simulator: Simulator, steps: int = STEPS) -> TensorDict:
    """Play the same random slates in every call: (B, T) transitions, ends passed over."""
    chance = torch.Generator().manual_seed(SEED)
    state, played = simulator.reset(), []
    for _ in range(steps):
        state[Key.ACTION] = draw_slate(state, simulator, chance)
        whole = simulator.step(state.clone())
        played.append(whole)
        state = whole["next"].exclude("reward").clone()
        if not (state[choice_key(simulator)] > 0).any():
            break
    return torch.stack(played, 1)


def draw_slate(state: TensorDictBase, simulator: Simulator, chance: torch.Generator) -> Tensor:
    """Draw slates from what may be shown, with 0 where nothing is left; (B, K)."""
    allowed = state[choice_key(simulator)]
    keys = torch.rand(allowed.shape, generator=chance).to(allowed.device)
    keys = keys.masked_fill(allowed == 0, -1)
    if simulator.offer_size is None:
        keys[:, PADDING] = -1
    best = keys.topk(simulator.slate_size)
    columns = best.indices if simulator.offer_size is None else allowed.gather(1, best.indices)
    return columns * (best.values >= 0)


def choice_key(simulator: Simulator) -> str:
    """The key of what may be shown."""
    return Key.MASK if simulator.offer_size is None else Key.CANDIDATES


def close(one: Tensor, other: Tensor) -> bool:
    """Equal, or close where they are numbers: batches are multiplied in other orders."""
    if one.is_floating_point():
        return torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
    return torch.equal(one, other)


def keys_of(steps: TensorDictBase) -> list[object]:
    """Give all keys of what was played, nested ones too, in order."""
    return sorted(steps.keys(include_nested=True, leaves_only=True), key=str)


def exhausted(steps: TensorDictBase) -> Tensor:
    """(B, T, 1): whether nothing is left to show."""
    name = Key.MASK if Key.MASK in steps.keys() else Key.CANDIDATES  # noqa: SIM118 (TensorDict)
    return ~(steps["next", name] > 0).any(-1, keepdim=True)
