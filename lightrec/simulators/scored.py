"""Contenders that show what scores highest, among them those that know a world's truth."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.keys import Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import ItemSlates, may_be_shown
from lightrec.simulators import noise
from lightrec.simulators.rollout import play as play_sessions
from lightrec.simulators.world import World

Scores = Callable[[TensorDictBase], Tensor]


class Scored:
    """A contender that shows what a function of the whole state scores highest, or draws by it.

    :param scores: from states, with what only a world knows, to (B, N + 1), or (B, C) for the
        candidates of an offer, such as ``world.oracle``; what may not be shown needs no care.
    """

    knows_truth = True

    def __init__(self, scores: Scores) -> None:
        self.scores = scores

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the slate and its log-probability into a state; scores are logits of the draw."""
        columns = PlackettLuce(self.scores(state), may_be_shown(state), slate_size)
        law = ItemSlates(columns, state.get(Key.CANDIDATES, None))
        slate = law.mode if deterministic else law.sample()
        state[Key.LOG_PROBABILITY] = law.log_prob(slate)
        return state.set(Key.ACTION, slate)


class Played(NamedTuple):
    """Whole sessions of a batch of B users."""

    returns: Tensor
    """(B,) float32: sums of the true reward."""
    length: Tensor
    """(B,) int64: steps."""


def play(world: World, scores: Scores, seed: int) -> Played:
    """Play one session a row under common random numbers, showing the highest scores.

    :param scores: see :class:`Scored`.
    """
    returns = torch.zeros(world.batch_size[0], device=world.device)

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        returns.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

    users = torch.arange(world.batch_size[0])
    sessions, _ = play_sessions(Scored(scores), world, users, seed, record=note)
    return Played(returns, sessions.length[0].long())


def even_chance(world: World) -> Scores:
    """Give scores that show anything, evenly, for :func:`play`; the same in every repetition."""
    columns = torch.arange(world.offer_size or world.num_items + 1, device=world.device)

    def scores(state: TensorDictBase) -> Tensor:
        return noise.uniform(noise.mix(noise.mix(world.chance(state), -4), columns)).float()

    return scores
