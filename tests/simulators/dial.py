"""A simulator whose actions are no slates."""

import torch
from tensordict import TensorDict
from torchrl.data import Bounded, Composite

from lightrec.keys import Key
from lightrec.simulators.session_env import SessionEnv


class Dial(SessionEnv):
    """People who are pleased, 1 or 0, by a dial between -1 and 1 that stands at 0.9 or above.

    :param batch_size: sessions B.
    :param max_steps: steps of a session, which nobody leaves.
    """

    def __init__(self, batch_size: int, *, max_steps: int = 3) -> None:
        super().__init__(batch_size, max_steps=max_steps)
        specs = {Key.STEP: self._indices(1, max_steps), Key.ACCEPTED_TOTAL: self._numbers(1)}
        specs[Key.SESSION] = self._numbers(1, dtype=torch.int64)
        self.observation_spec = Composite(specs, shape=self.batch_size)
        self.reward_spec = Bounded(0, 2, (batch_size, 1))
        self.action_spec = Bounded(-1, 1, (batch_size, 1), dtype=torch.float32)

    def first_state(self, rows, session):
        state = {Key.STEP: torch.zeros_like(session), Key.ACCEPTED_TOTAL: torch.zeros(len(rows), 1)}
        return TensorDict(state, batch_size=[len(rows)])

    def _step(self, tensordict):
        step, pleased = tensordict[Key.STEP] + 1, (tensordict[Key.ACTION] >= 0.9).float()
        over = step >= self.max_steps
        state = {
            Key.STEP: step,
            Key.ACCEPTED_TOTAL: tensordict[Key.ACCEPTED_TOTAL] + pleased,
            Key.SESSION: tensordict[Key.SESSION],
            "reward": pleased,
            "terminated": torch.zeros_like(over),
            "truncated": over,
            "done": over,
        }
        return TensorDict(state, batch_size=self.batch_size)
