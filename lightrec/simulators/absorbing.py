"""Sessions that end are played on in a state from which nothing leads, so that all have one length.

Adversarial learners need it where sessions end by themselves: see
:func:`lightrec.irl.demonstrations.with_absorbing`, which does the same to demonstrations.
"""

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Composite

from lightrec.keys import Key
from lightrec.simulators.session_env import SessionEnv


class Absorbing(SessionEnv):
    """A simulator whose sessions all have ``max_steps`` steps (Kostrikov et al. 2019).

    Where the simulator ends a session, the next state is absorbing: the key ``absorbing`` (B, 1)
    bool is True, all else stays as it was, and every reward is 0 until the session is cut. What the
    simulator itself cuts is cut.

    :param base: the simulator.
    """

    def __init__(self, base: SessionEnv) -> None:
        super().__init__(base.batch_size[0], max_steps=base.max_steps, device=base.device)
        self.base = base
        self.ending = "fixed"
        mark = Binary(shape=(*self.batch_size, 1), dtype=torch.bool, device=self.device)
        self.observation_spec = Composite(
            {**dict(base.observation_spec.items()), Key.ABSORBING: mark}, shape=self.batch_size
        )
        self.action_spec = base.action_spec
        self.reward_spec = self._number()
        self.full_done_spec = self._done_spec()

    def fix(self, users: Tensor, seed: int) -> None:
        """Let every reset begin with these users, under chance that follows from ``seed``."""
        super().fix(users, seed)
        self.base.fix(users, seed)

    def _set_seed(self, seed: int | None) -> None:
        super()._set_seed(seed)
        self.base.generator = self.generator

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing absorbing."""
        state = self.base.first_state(rows, session)
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
