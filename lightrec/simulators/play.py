"""Play a world by scores: whatever is scored highest is shown."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.world import World


class Played(NamedTuple):
    """Whole sessions of a batch of B users."""

    returns: Tensor
    """(B,) float32: sums of the true reward."""
    length: Tensor
    """(B,) int64: steps."""


@torch.no_grad()
def play(
    world: World,
    scores: Callable[[TensorDictBase], Tensor],
    seed: int,
    record: Callable[[TensorDictBase, TensorDictBase, Tensor], None] | None = None,
) -> Played:
    """Play one session a row under common random numbers, showing the highest scores.

    Equal seeds bring equal users who meet equal chance, whatever is shown to them: two ways of
    scoring can be compared user by user.

    :param scores: from states to (B, N + 1), or (B, C) for the candidates of an offer, such as
        ``world.oracle``; places that may not be shown need no care.
    :param record: told of every step: the state with its slate, what followed, and which sessions
        were on, (B,) bool.
    """
    size = world.batch_size[0]
    world.fix(torch.arange(size), seed)
    state = world.reset()
    returns = torch.zeros(size, device=world.device)
    length = torch.zeros(size, dtype=torch.int64, device=world.device)
    alive = torch.ones(size, dtype=torch.bool, device=world.device)
    while alive.any():
        state[Key.ACTION] = best(world, state, scores(state))
        following = world.step(state)["next"]
        if record is not None:
            record(state, following, alive)
        state = following
        returns += state[Key.TRUE_REWARD].squeeze(1) * alive
        length += alive
        alive = alive & ~state["done"].squeeze(1)
    return Played(returns, length)


def best(world: World, state: TensorDictBase, scores: Tensor) -> Tensor:
    """Give the slates (B, K) of the highest scores among what may be shown, best first."""
    offered = state[Key.MASK] if world.offer_size is None else state[Key.CANDIDATES] > PADDING
    top = scores.masked_fill(~offered, -torch.inf).topk(world.slate_size, 1)
    items = top.indices
    if world.offer_size is not None:
        items = state[Key.CANDIDATES].gather(1, items)
    return torch.where(top.values > -torch.inf, items, PADDING)


def even_chance(world: World) -> Callable[[TensorDictBase], Tensor]:
    """Give scores that show anything, evenly, for :func:`play`; the same in every repetition."""
    width = world.num_items + 1 if world.offer_size is None else world.offer_size

    def scores(state: TensorDictBase) -> Tensor:
        columns = torch.arange(width, device=world.device)
        return noise.uniform(noise.mix(noise.mix(world.chance(state), -4), columns)).float()

    return scores
