"""Gymnasium both ways: outside agents play simulators, outside environments become batches."""

from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Composite, TensorSpec
from torchrl.envs import EnvBase, GymEnv, SerialEnv

from lightrec.errors import LightrecError
from lightrec.keys import Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.session_env import SessionEnv

HIDDEN = (Key.LATENT, Key.TRUE_REWARD, Key.SESSION, Key.USER, Key.MASK)
"""Keys that no agent observes: truths, numbers of sessions and rows, and the mask, which stands in
``info``."""
VECTORS = "candidate_vectors"
"""The observation of what may be seen of the candidates, (C, D) float32."""
ACTION_MASK = "action_mask"

Array = np.ndarray[Any, Any]
Observation = dict[str, Array]


def from_gymnasium(name: str, batch_size: int, **settings: object) -> EnvBase:
    """Make a TorchRL environment of a registered Gymnasium environment, B of them in this process.

    :param name: as ``gymnasium.make`` takes it, such as ``CartPole-v1``.
    :param settings: for ``gymnasium.make``.
    :returns: of batch size (B,).
    :raises LightrecError: where no environment has that name.
    """
    check_known(name)
    # One process: TorchRL's own batches of Gymnasium environments are a process each, in which a
    # step of a small environment takes longer than the environment itself.
    return SerialEnv(batch_size, partial(GymEnv, name, **settings))


def check_known(name: str) -> None:
    """See that Gymnasium knows an environment.

    :raises LightrecError: where it does not.
    """
    try:
        gymnasium.spec(name)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise LightrecError(
            f"Gymnasium knows no environment '{name}': {error} Import the package that registers "
            "it first, or look at gymnasium.registry for the names."
        ) from error


class SimulatorVectorEnv(VectorEnv[Observation, Any, Array]):
    """B sessions of a simulator side by side, computed as one batch, for agents of Gymnasium.

    **Observation:** a ``Dict`` of the state's keys that policies may see; ``candidate_vectors``
    too, where a world makes offers. What only a world knows, its true reward and the session's
    number are not there.

    **Action:** a number p for each place of the slate, ``Discrete`` or ``MultiDiscrete``: it stands
    for item p + 1 of the catalog, or for the candidate offered in column p. Simulators whose
    actions are no items keep theirs, as a ``Box``.

    **Illegal actions:** ``info["action_mask"]``, (B, N) int8 of N numbers to choose from, or
    (B, K, N) for slates of several, holds 1 for every number that may be chosen. Another item, or
    one that stands in the slate already, is not shown: its place in the slate stays empty, and the
    session goes on.

    ``reset(seed=…)`` seeds the simulator; the same seed and actions have the same consequences. A
    session that is over begins anew in the same step (``AutoresetMode.SAME_STEP``): its last
    observation is in ``info["final_obs"]``, an array (B, …) by name, whose rows are marked by
    ``info["_final_obs"]`` (B,) bool.

    :param simulator: with B sessions.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, simulator: SessionEnv) -> None:
        self.simulator, self.num_envs = simulator, simulator.batch_size[0]
        seen = {
            name: _space(spec)
            for name, spec in simulator.observation_spec.items()
            if name not in HIDDEN and not isinstance(spec, Composite)
        }
        self._names = list(seen)
        self._shows = isinstance(simulator, Simulator)
        self._offers = self._shows and simulator.offer_size is not None
        self._vectors = getattr(simulator, "item_vectors", None) if self._offers else None
        self.single_action_space = _space(simulator.action_spec)
        if self._shows:
            size, places = simulator.offer_size or simulator.num_items, simulator.slate_size
            several = spaces.MultiDiscrete([size] * places)
            self.single_action_space = several if places > 1 else spaces.Discrete(size)
        if self._vectors is not None:
            shape = (simulator.offer_size, self._vectors.shape[1])
            seen[VECTORS] = spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.single_observation_space = spaces.Dict(seen)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._state: TensorDictBase | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all sessions.

        :param seed: one number, which seeds the chance of the whole batch; None goes on with it.
        :param options: there are none.
        :raises ValueError: where every session is given a seed of its own.
        """
        if isinstance(seed, list):
            raise ValueError("The sessions of a simulator share one seed; give a single number.")
        super().reset(seed=seed)
        if seed is not None:
            self.simulator.set_seed(seed)
        self._state = self.simulator.reset()
        return self.observe()

    def step(self, actions: Any) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Show what actions stand for, and begin anew where a session is over.

        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        following = self.show(np.asarray(actions))
        reward, ended, cut, over = (
            following[key].squeeze(1).cpu().numpy()
            for key in ("reward", "terminated", "truncated", "done")
        )
        last: dict[str, Any] = {}
        if over.any():
            last = {"final_obs": self.observe()[0], "_final_obs": over}
            self._state = self.simulator.maybe_reset(self._state)
        observation, info = self.observe()
        return observation, reward, ended, cut, last | info

    @torch.no_grad()
    def show(self, actions: Array) -> TensorDictBase:
        """Show what actions (B,) or (B, K) stand for, but for what is illegal.

        :returns: what follows; the sessions stay there.
        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded(
                "A session begins with reset(); call it before step()."
            )
        given = torch.as_tensor(actions, device=self.simulator.device)
        if self._shows:
            places = given.long().reshape(-1, self.simulator.slate_size)
            fine = self._legal().gather(1, places)
            for place in range(1, places.shape[1]):
                fine[:, place] &= (places[:, :place] != places[:, place, None]).all(1)
            offer = self._state[Key.CANDIDATES].gather(1, places) if self._offers else places + 1
            given = offer * fine
        following = self.simulator.step(self._state.copy().set(Key.ACTION, given))["next"]
        self._state = following.exclude("reward")
        return following

    def observe(self) -> tuple[Observation, dict[str, Any]]:
        """Give what agents may see, (B, …) each, and what may be shown."""
        seen = {name: self._state[name] for name in self._names}
        if self._vectors is not None:
            seen[VECTORS] = self._vectors[self._state[Key.CANDIDATES]]
        seen = {n: x.to(torch.int8) if x.dtype == torch.bool else x for n, x in seen.items()}
        observation = {name: part.cpu().numpy().copy() for name, part in seen.items()}
        if not self._shows:
            return observation, {}
        mask = self._legal().to(torch.int8).cpu().numpy()
        if self.simulator.slate_size > 1:
            mask = np.repeat(mask[:, None], self.simulator.slate_size, 1)
        return observation, {ACTION_MASK: mask, f"_{ACTION_MASK}": np.ones(len(mask), bool)}

    def _legal(self) -> Tensor:
        return self._state[Key.CANDIDATES] > 0 if self._offers else self._state[Key.MASK][:, 1:]


class SimulatorEnv(gymnasium.Env[Observation, Any]):
    """One session of a simulator; all as in :class:`SimulatorVectorEnv`, without the batch.

    ``info["action_mask"]`` is as ``action_space.sample(mask)`` takes it.

    :param simulator: with one session.
    :raises ValueError: where it has several.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, simulator: SessionEnv) -> None:
        if tuple(simulator.batch_size) != (1,):
            raise ValueError(
                f"The simulator has batch size {tuple(simulator.batch_size)}; a Gymnasium "
                "environment is one session. Build it with batch_size=1, or take "
                "SimulatorVectorEnv."
            )
        self._sessions = SimulatorVectorEnv(simulator)
        self.observation_space = self._sessions.single_observation_space
        self.action_space = self._sessions.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a session; see :meth:`SimulatorVectorEnv.reset`."""
        super().reset(seed=seed)
        self._sessions.reset(seed=seed)
        return self._observe()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show what an action stands for.

        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        following = self._sessions.show(np.asarray(action)[None])
        reward, ended, cut = (following[k].item() for k in ("reward", "terminated", "truncated"))
        observation, info = self._observe()
        return observation, reward, ended, cut, info

    def _observe(self) -> tuple[Observation, dict[str, Any]]:
        batch, info = self._sessions.observe()
        if ACTION_MASK in info:
            mask = info[ACTION_MASK][0]
            info = {ACTION_MASK: mask if mask.ndim == 1 else tuple(mask)}
        return {name: part[0] for name, part in batch.items()}, info


def _space(spec: TensorSpec) -> Any:
    """Give the space of one session's part of a spec."""
    shape = tuple(spec.shape[1:])
    if isinstance(spec, Binary):
        return spaces.MultiBinary(shape)
    box = spec.space
    low, high = (getattr(box, end)[0].cpu().numpy() for end in ("low", "high"))
    if low.dtype.kind == "f":  # TorchRL writes the largest number where there is no bound
        low = np.where(low <= np.finfo(low.dtype).min, -np.inf, low)
        high = np.where(high >= np.finfo(high.dtype).max, np.inf, high)
    return spaces.Box(low, high, shape, high.dtype.type)
