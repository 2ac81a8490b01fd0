"""The cart with a pole, a batch of them: the field's common yardstick, far quicker than one by one.

Nobody is recommended anything here: item 1 pushes to the left, item 2 to the right.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightrec_worlds.world_data import demonstrate
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import TensorSpec, Unbounded

from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, Simulator
from lightrec.simulators.session_env import Ending
from lightrec.simulators.world import Scored

GRAVITY, POLE_MASS, TOTAL_MASS, HALF_LENGTH = 9.8, 0.1, 1.1, 0.5
FORCE, SECONDS = 10.0, 0.02
POSITION_LIMIT, ANGLE_LIMIT = 2.4, 12 * 2 * math.pi / 360
START = 0.05
CART = "cart"
"""Key of position, velocity, angle and angular velocity, (B, 4) float32."""
LIMIT = 10.0
"""What is observed lies within so many times the scale."""


class CartPole(Simulator):
    """Gymnasium's CartPole-v1 and, at a fixed horizon, its variant seals/CartPole-v0.

    The laws are those of Barto, Sutton and Anderson (1983), with Gymnasium's constants and Euler
    steps. State: ``cart`` (B, 4) float32, position, velocity, angle and angular velocity, and
    ``observation``, the same over a scale and within limits.

    With ``ending="fixed"`` nothing ends before ``max_steps``: the reward is 1 where the pole stands
    and the cart is in its bounds, else 0, physics goes on, and angles are kept between -π and π
    (Gleave et al. 2020, "seals"). With ``leave`` every step has reward 1, and a pole that falls
    ends the session.

    :param batch_size: carts B.
    :param max_steps: steps after which a session is cut.
    :param ending: ``fixed`` or ``leave``.
    :param scale: what observations are divided by.
    :param device: where everything is computed.
    """

    observation_size = 4

    def __init__(
        self,
        batch_size: int,
        *,
        max_steps: int = 500,
        ending: Ending = "fixed",
        scale: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        device: torch.device | str = "cpu",
    ) -> None:
        self.scale = torch.tensor(scale, device=device)
        super().__init__(
            2,
            batch_size,
            history_length=1,
            max_steps=max_steps,
            ending=ending,
            repeats=True,
            device=device,
        )
        self.item_vectors = torch.eye(3, device=self.device)[:, 1:]

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce the carts and what is observed of them."""
        shape = (*self.batch_size, 4)
        own = {key: Unbounded(shape, device=self.device) for key in (CART, Key.OBSERVATION)}
        return {**own, Key.TRUE_REWARD: self._numbers(1)}

    def seen(self, cart: Tensor) -> dict[str, Tensor]:
        """Carts (B, 4) and what is observed of them, by key."""
        return {CART: cart, Key.OBSERVATION: (cart / self.scale).clamp(-LIMIT, LIMIT)}

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin near the upright position: all four numbers even between -.05 and .05."""
        key = noise.mix(noise.mix(session, 0), torch.arange(4, device=self.device))
        cart = START * (2 * noise.uniform(key).float() - 1)
        count = len(session)
        state = {
            Key.USER: rows.to(self.device),
            Key.HISTORY: session.new_zeros(count, 1),
            Key.MASK: torch.ones(count, 3, dtype=torch.bool, device=self.device),
            Key.TRUE_REWARD: torch.zeros(count, 1, device=self.device),
            **self.seen(cart),
        }
        return TensorDict(state, batch_size=[count], device=self.device)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Push; nothing is accepted, so that histories stay empty."""
        cart = push(state[CART], slate - 1)
        position, _, angle, _ = cart.split(1, 1)
        fixed = self.ending == "fixed"
        if fixed:
            angle = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
            cart[:, 2:3] = angle
        upright = (position.abs() < POSITION_LIMIT) & (angle.abs() < ANGLE_LIMIT)
        # The step in which the pole falls is still rewarded, unless the horizon is fixed.
        reward = upright.float() if fixed else torch.ones_like(position)
        nothing, fell = torch.zeros_like(slate, dtype=torch.bool), ~upright.squeeze(1)
        changed = {**self.seen(cart), Key.TRUE_REWARD: reward}
        return Response(nothing, nothing.float(), fell, changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score the side to which the pole falls: a linear rule that keeps it up for 500 steps.

        :returns: (B, 3).
        """
        falls = (state[CART] @ self.scale.new_tensor([0.05, 0.1, 1.0, 0.5])).unsqueeze(1)
        return torch.cat([torch.zeros_like(falls), -falls, falls], 1)


def push(cart: Tensor, action: Tensor) -> Tensor:
    """Move carts on by one step of .02 seconds.

    :param cart: (B, 4) position, velocity, angle, angular velocity.
    :param action: (B, 1) int64, 0 or 1.
    :returns: (B, 4).
    """
    _, velocity, angle, spin = cart.split(1, 1)
    sine, cosine = angle.sin(), angle.cos()
    force = (2 * action - 1).to(cart) * FORCE
    push_and_swing = (force + POLE_MASS * HALF_LENGTH * spin.square() * sine) / TOTAL_MASS
    spin_change = (GRAVITY * sine - cosine * push_and_swing) / (
        HALF_LENGTH * (4 / 3 - POLE_MASS * cosine.square() / TOTAL_MASS)
    )
    speed_change = push_and_swing - POLE_MASS * HALF_LENGTH * spin_change * cosine / TOTAL_MASS
    change = torch.cat([velocity, speed_change, spin, spin_change], 1)
    return cart + SECONDS * change


def record(path: Path) -> float:
    """Record the rule's trajectories of whole sessions, and return their mean return.

    ``observation`` (60, 501, 4) float32 and ``action`` (60, 500) int64.
    """
    world = CartPole(60)
    world.set_seed(0)
    played = demonstrate(world, Scored(world.oracle), world.max_steps)
    last = played["next", CART][:, -1:]
    np.savez_compressed(
        path,
        observation=torch.cat([played[CART], last], 1).numpy(),
        action=(played[Key.ACTION].squeeze(-1) - 1).numpy(),
    )
    return float(played["next", "reward"].sum(1).mean())
