"""Sessions that end are played on in a state from which nothing leads, so that all have one length.

Adversarial learners need it where sessions end by themselves: see
:func:`lightrec.learners.demonstrations.with_absorbing`, which does the same to
demonstrations.
"""

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary

from lightrec.keys import Key
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.wrapped import Wrapped


class Absorbing(Wrapped):
    """A simulator whose sessions all have ``max_steps`` steps (Kostrikov et al. 2019).

    Where the simulator ends a session, the next state is absorbing: the key ``absorbing`` (B, 1)
    bool is True, all else stays as it was, and every reward is 0 until the session is cut. What the
    simulator itself cuts is cut.

    :param base: the simulator.
    """

    def __init__(self, base: SessionEnv) -> None:
        mark = Binary(shape=(*base.batch_size, 1), dtype=torch.bool, device=base.device)
        super().__init__(base, {Key.ABSORBING: mark}, ending="fixed")

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing absorbing."""
        state = super().first_state(rows, session)
        return state.set(Key.ABSORBING, torch.zeros_like(session, dtype=torch.bool))

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        before = tensordict[Key.ABSORBING]
        following = self.base._step(tensordict)
        ended, cut = following["terminated"], following["truncated"]
        reward = following["reward"] * ~before
        state = following.exclude("reward", "done", "terminated", "truncated")
        rows = before.squeeze(1)

        def stay(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(rows.view(-1, *[1] * (new.dim() - 1)), old, new)

        state = state.apply(stay, tensordict.select(*state.keys()))
        step, absorbing = tensordict[Key.STEP] + 1, before | ended
        over = (step >= self.max_steps) | (cut & ~absorbing)
        state.update(
            {
                Key.STEP: step,
                Key.ABSORBING: absorbing,
                "reward": reward,
                "terminated": torch.zeros_like(over),
                "truncated": over,
                "done": over,
            }
        )
        return state
