"""The cart with a pole, a batch of them: the small known problem on which learners are measured.

Nobody is recommended anything here; it is the field's common yardstick.
"""

import math

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Composite, Unbounded

from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.session_env import Ending, SessionEnv

GRAVITY, POLE_MASS, TOTAL_MASS, HALF_LENGTH = 9.8, 0.1, 1.1, 0.5
FORCE, SECONDS = 10.0, 0.02
POSITION_LIMIT, ANGLE_LIMIT = 2.4, 12 * 2 * math.pi / 360
START = 0.05


class CartPole(SessionEnv):
    """Gymnasium's CartPole-v1 and, at a fixed horizon, its variant seals/CartPole-v0.

    The laws are those of Barto, Sutton and Anderson (1983), with Gymnasium's constants and Euler
    steps. State: ``observation`` (B, 4) float32, position, velocity, angle and angular velocity.
    Action: (B, 1) int64, 0 pushes to the left and 1 to the right.

    With ``ending="fixed"`` nothing ends before ``max_steps``: the reward is 1 where the pole stands
    and the cart is in its bounds, else 0, physics goes on, and angles are kept between -π and π
    (Gleave et al. 2020, "seals"). With ``leave`` every step has reward 1, and a pole that falls
    ends the session.

    :param batch_size: carts B.
    :param max_steps: steps after which a session is cut.
    :param ending: ``fixed`` or ``leave``.
    :param device: where everything is computed.
    :raises RecipeError: where a session is impossible.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        max_steps: int = 500,
        ending: Ending = "fixed",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(batch_size, max_steps=max_steps, ending=ending, device=device)
        shape, whole = (batch_size, 1), torch.int64
        self.observation_spec = Composite(
            {
                Key.OBSERVATION: Unbounded((batch_size, 4), device=self.device),
                Key.STEP: Bounded(0, max_steps, shape, dtype=whole, device=self.device),
                Key.SESSION: self._session_spec(),
            },
            shape=self.batch_size,
        )
        self.action_spec = Bounded(0, 1, shape, dtype=whole, device=self.device)
        self.reward_spec = self._number()
        self.full_done_spec = self._done_spec()

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin near the upright position: all four numbers even between -.05 and .05."""
        key = noise.mix(noise.mix(session, 0), torch.arange(4, device=self.device))
        observation = START * (2 * noise.uniform(key).float() - 1)
        state = {Key.OBSERVATION: observation, Key.STEP: torch.zeros_like(session)}
        return TensorDict(state, batch_size=[len(session)], device=self.device)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        observation = push(tensordict[Key.OBSERVATION], tensordict[Key.ACTION])
        position, _, angle, _ = observation.split(1, 1)
        fixed = self.ending == "fixed"
        if fixed:
            angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
            observation[:, 2:3] = angle
        upright = (position.abs() < POSITION_LIMIT) & (angle.abs() < ANGLE_LIMIT)
        # The step in which the pole falls is still rewarded, unless the horizon is fixed.
        reward = upright.float() if fixed else torch.ones_like(position)
        terminated = torch.zeros_like(upright) if fixed else ~upright
        step = tensordict[Key.STEP] + 1
        over = step >= self.max_steps
        state = {
            Key.OBSERVATION: observation,
            Key.STEP: step,
            Key.SESSION: tensordict[Key.SESSION],
            "reward": reward,
            "terminated": terminated,
            "truncated": over & ~terminated,
            "done": over | terminated,
        }
        return TensorDict(state, batch_size=self.batch_size, device=self.device)


def push(observation: Tensor, action: Tensor) -> Tensor:
    """Move carts on by one step of .02 seconds.

    :param observation: (B, 4) position, velocity, angle, angular velocity.
    :param action: (B, 1) int64, 0 or 1.
    :returns: (B, 4).
    """
    _, velocity, angle, spin = observation.split(1, 1)
    sine, cosine = angle.sin(), angle.cos()
    force = (2 * action - 1).to(observation) * FORCE
    push_and_swing = (force + POLE_MASS * HALF_LENGTH * spin.square() * sine) / TOTAL_MASS
    spin_change = (GRAVITY * sine - cosine * push_and_swing) / (
        HALF_LENGTH * (4 / 3 - POLE_MASS * cosine.square() / TOTAL_MASS)
    )
    speed_change = push_and_swing - POLE_MASS * HALF_LENGTH * spin_change * cosine / TOTAL_MASS
    change = torch.cat([velocity, speed_change, spin, spin_change], 1)
    return observation + SECONDS * change


def balance(state: TensorDictBase) -> Tensor:
    """Push to the side to which the pole falls: a linear rule that keeps it up for 500 steps.

    :returns: (B, 1) int64.
    """
    weights = state[Key.OBSERVATION].new_tensor([0.05, 0.1, 1.0, 0.5])
    return (state[Key.OBSERVATION] @ weights > 0).long().unsqueeze(1)
