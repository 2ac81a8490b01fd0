"""Whole sessions of a world, played by scores."""

from typing import NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import Key, noise
from lightrec.simulators.rollout import play as play_sessions
from lightrec.simulators.world import Scored, Scores, World


class Played(NamedTuple):
    """Whole sessions of a batch of B users."""

    returns: Tensor
    """(B,) float32: sums of the true reward."""
    length: Tensor
    """(B,) int64: steps."""


def play(world: World, scores: Scores, seed: int) -> Played:
    """Play one session a row under common random numbers, showing the highest scores.

    :param scores: see :class:`~lightrec.simulators.world.Scored`.
    """
    returns = torch.zeros(world.batch_size[0], device=world.device)

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        returns.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

    users = torch.arange(world.batch_size[0])
    sessions, _ = play_sessions(Scored(scores), world, users, seed, record=note)
    return Played(returns, sessions.length[0].long())


def even_chance(world: World) -> Scores:
    """Scores that show anything, evenly, for :func:`play`; the same in every repetition."""
    columns = torch.arange(world.offer_size or world.num_items + 1, device=world.device)

    def scores(state: TensorDictBase) -> Tensor:
        return noise.uniform(noise.mix(noise.mix(world.chance(state), -4), columns)).float()

    return scores
