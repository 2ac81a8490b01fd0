"""The smallest problem that a policy can learn: one step, eight items, one of which is best."""

import torch
from lightrec_worlds.world_data import WorldData
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator

CHANCES = torch.tensor([0.0, 0.1, 0.2, 0.1, 0.9, 0.2, 0.1, 0.2, 0.1])
BEST = 0.9


class Arms(Simulator):
    """Each item is taken with a chance of its own, which is what it pays."""

    observation_size = 0
    item_vectors = torch.eye(9)[:, 1:]

    def __init__(self, batch_size, device="cpu"):
        super().__init__(8, batch_size, history_length=1, max_steps=1, device=device)

    def own_specs(self):
        return {Key.TRUE_REWARD: self._numbers(1)}

    def start(self, rows, session):
        count = len(session)
        state = {
            Key.USER: rows,
            Key.HISTORY: session.new_zeros(count, 1),
            Key.MASK: self.offered.repeat(count, 1),
            Key.TRUE_REWARD: torch.zeros(count, 1),
        }
        return TensorDict(state, batch_size=[count])

    def respond(self, state, slate):
        chance = CHANCES[slate]
        taken = noise.uniform(noise.mix(self.chance(state), slate)) < chance
        stays = torch.zeros(len(slate), dtype=torch.bool)
        return Response(taken, taken.float(), stays, {Key.TRUE_REWARD: chance})


class ArmsData(WorldData):
    """Sessions of one step."""

    def __init__(self, iterations=6):
        super().__init__("Arms", iterations=iterations, judging=4)

    def make(self, sessions, device="cpu"):
        return Arms(sessions, device)
