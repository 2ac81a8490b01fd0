"""Gymnasium both ways: outside agents play simulators, outside environments become batches.

Needs the package ``gymnasium``, which is the optional extra ``gym``.
"""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Composite, TensorSpec
from torchrl.envs import EnvBase, GymEnv, SerialEnv

from lightrec.errors import LightrecError
from lightrec.keys import Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.session_env import SessionEnv

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ModuleNotFoundError as error:
    raise LightrecError(
        "lightrec.simulators.gymnasium needs the package gymnasium, which is not installed. "
        "Install it with: pip install 'lightrec[gym]'."
    ) from error

HIDDEN = (Key.LATENT, Key.TRUE_REWARD, Key.SESSION, Key.USER, Key.MASK)
"""Keys that no agent observes: truths, numbers of sessions and rows, and the mask, which is told in
``info``."""
VECTORS = "candidate_vectors"
"""The observation of what may be seen of the candidates, (C, D) float32."""
ACTION_MASK = "action_mask"

Observation = dict[str, np.ndarray[Any, Any]]


def as_gymnasium(simulator: SessionEnv) -> "SimulatorEnv":
    """Make a Gymnasium environment of a simulator of one session.

    :raises ValueError: where it has several; see :func:`as_gymnasium_vector`.
    """
    return SimulatorEnv(simulator)


def as_gymnasium_vector(simulator: SessionEnv) -> "SimulatorVectorEnv":
    """Make a Gymnasium vector environment of a simulator of B sessions."""
    return SimulatorVectorEnv(simulator)


def from_gymnasium(name: str, batch_size: int, **settings: object) -> EnvBase:
    """Make a TorchRL environment of a registered Gymnasium environment, B of them in this process.

    :param name: as ``gymnasium.make`` takes it, such as ``CartPole-v1``.
    :param settings: for ``gymnasium.make``.
    :returns: of batch size (B,).
    :raises LightrecError: where no environment has that name.
    """
    checked(name)
    # One process: TorchRL's own batches of Gymnasium environments are a process each, in which a
    # step of a small environment takes longer than the environment itself.
    return SerialEnv(batch_size, partial(GymEnv, name, **settings))


def checked(name: str) -> None:
    """See that Gymnasium knows an environment.

    :param name: as ``gymnasium.make`` takes it.
    :raises LightrecError: where no environment has that name.
    """
    try:
        gymnasium.spec(name)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise LightrecError(
            f"Gymnasium knows no environment '{name}': {error} Import the package that registers "
            "it first, or look at gymnasium.registry for the names."
        ) from error


class SimulatorEnv(gymnasium.Env[Observation, Any]):
    """One session of a simulator, for agents that speak Gymnasium.

    **Observation:** a ``Dict`` of the state's keys that policies may see, without the batch's
    dimension; ``candidate_vectors`` too, where a world makes offers. What only a world knows, its
    true reward and the session's number are not there.

    **Action:** a number p for each place of the slate, ``Discrete`` or ``MultiDiscrete``: it stands
    for item p + 1 of the catalog, or for the candidate offered in column p. Simulators whose
    actions are no items keep theirs, as a ``Box``.

    **Illegal actions:** ``info["action_mask"]`` holds 1 for every number that may be chosen, as
    ``action_space.sample(mask)`` takes it. Another item, or one that stands in the slate already,
    is not shown: its place in the slate stays empty, and the session goes on.

    ``reset(seed=…)`` seeds the simulator; the same seed and actions have the same consequences.

    :param simulator: with one session.
    :raises ValueError: where it has several.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, simulator: SessionEnv) -> None:
        if tuple(simulator.batch_size) != (1,):
            raise ValueError(
                f"The simulator has batch size {tuple(simulator.batch_size)}; a Gymnasium "
                "environment is one session. Build it with batch_size=1, or take "
                "as_gymnasium_vector."
            )
        self.simulator = simulator
        self._bridge = _Bridge(simulator)
        self.observation_space = self._bridge.observation_space
        self.action_space = self._bridge.action_space
        self._state: TensorDictBase | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a session.

        :param seed: seeds the simulator; None goes on with its chance.
        :param options: there are none.
        """
        super().reset(seed=seed)
        if seed is not None:
            self.simulator.set_seed(seed)
        self._state = self.simulator.reset()
        return self._told(self._state)

    @torch.no_grad()
    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show what an action stands for.

        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        state = _begun(self._state)
        following = self._bridge.step(state, np.asarray(action)[None])["next"]
        self._state = following.exclude("reward")
        reward, ended, cut = (following[k].item() for k in ("reward", "terminated", "truncated"))
        observation, info = self._told(self._state)
        return observation, reward, ended, cut, info

    def _told(self, state: TensorDictBase) -> tuple[Observation, dict[str, Any]]:
        observation = {name: part[0] for name, part in self._bridge.observe(state).items()}
        masks = self._bridge.masks(state)
        if masks is None:
            return observation, {}
        single = isinstance(self.action_space, spaces.Discrete)
        return observation, {ACTION_MASK: masks[0, 0] if single else tuple(masks[0])}


class SimulatorVectorEnv(VectorEnv[Observation, Any, np.ndarray[Any, Any]]):
    """B sessions of a simulator side by side, computed as one batch.

    Spaces, illegal actions and seeds are those of :class:`SimulatorEnv`; ``info["action_mask"]`` is
    (B, N) int8 of N numbers to choose from, or (B, K, N) for slates of several. A session that is
    over begins anew in the same step (``AutoresetMode.SAME_STEP``): its last observation is in
    ``info["final_obs"]``, an array (B, …) by name, whose rows are marked by ``info["_final_obs"]``
    (B,) bool.

    :param simulator: with B sessions.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(self, simulator: SessionEnv) -> None:
        self.simulator = simulator
        self.num_envs = simulator.batch_size[0]
        self._bridge = _Bridge(simulator)
        self.single_observation_space = self._bridge.observation_space
        self.single_action_space = self._bridge.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._state: TensorDictBase | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all sessions.

        :param seed: one number, which seeds the chance of the whole batch.
        :raises ValueError: where every session is given a seed of its own.
        """
        if isinstance(seed, list):
            raise ValueError("The sessions of a simulator share one seed; give a single number.")
        super().reset(seed=seed)
        if seed is not None:
            self.simulator.set_seed(seed)
        self._state = self.simulator.reset()
        return self._bridge.observe(self._state), self._told(self._state)

    @torch.no_grad()
    def step(
        self, actions: Any
    ) -> tuple[
        Observation,
        np.ndarray[Any, Any],
        np.ndarray[Any, Any],
        np.ndarray[Any, Any],
        dict[str, Any],
    ]:
        """Show what actions stand for, and begin anew where a session is over.

        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        whole = self._bridge.step(_begun(self._state), np.asarray(actions))
        following = whole["next"]
        reward, ended, cut, over = (
            following[key].squeeze(1).cpu().numpy()
            for key in ("reward", "terminated", "truncated", "done")
        )
        self._state = following.exclude("reward")
        told: dict[str, Any] = {}
        if over.any():
            told["final_obs"], told["_final_obs"] = self._bridge.observe(self._state), over
            self._state = self.simulator.maybe_reset(self._state)
        return self._bridge.observe(self._state), reward, ended, cut, told | self._told(self._state)

    def _told(self, state: TensorDictBase) -> dict[str, Any]:
        masks = self._bridge.masks(state)
        if masks is None:
            return {}
        single = isinstance(self.single_action_space, spaces.Discrete)
        every = np.ones(self.num_envs, dtype=bool)
        return {ACTION_MASK: masks[:, 0] if single else masks, f"_{ACTION_MASK}": every}


class _Bridge:
    """What both kinds of environment need: spaces, and states and actions in the other's terms."""

    def __init__(self, simulator: SessionEnv) -> None:
        self.simulator = simulator
        specs = {
            name: spec
            for name, spec in simulator.observation_spec.items()
            if name not in HIDDEN and not isinstance(spec, Composite)
        }
        self.names = list(specs)
        seen = {name: _space(spec) for name, spec in specs.items()}
        self.vectors: Tensor | None = None
        if not isinstance(simulator, Simulator):
            self.action_space = _space(simulator.action_spec)
        else:
            size = simulator.offer_size or simulator.num_items
            several = simulator.slate_size > 1
            self.action_space = (
                spaces.MultiDiscrete([size] * simulator.slate_size)
                if several
                else spaces.Discrete(size)
            )
            if simulator.offer_size is not None:
                self.vectors = getattr(simulator, "item_vectors", None)
        if self.vectors is not None:
            shape = (simulator.offer_size, self.vectors.shape[1])
            seen[VECTORS] = spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.observation_space = spaces.Dict(seen)

    def observe(self, state: TensorDictBase) -> Observation:
        """Give what agents may see, (B, …) each."""
        seen = {name: state[name] for name in self.names}
        if self.vectors is not None:
            seen[VECTORS] = self.vectors[state[Key.CANDIDATES]]
        seen = {n: x.to(torch.int8) if x.dtype == torch.bool else x for n, x in seen.items()}
        return {name: part.cpu().numpy().copy() for name, part in seen.items()}

    def masks(self, state: TensorDictBase) -> np.ndarray[Any, Any] | None:
        """Give what may stand in each place of the slate, (B, K, N) int8."""
        if not isinstance(self.simulator, Simulator):
            return None
        legal = self._legal(state).to(torch.int8).cpu().numpy()
        return np.repeat(legal[:, None], self.simulator.slate_size, 1)

    def _legal(self, state: TensorDictBase) -> Tensor:
        if self.simulator.offer_size is not None:
            return state[Key.CANDIDATES] > 0
        return state[Key.MASK][:, 1:]

    def step(self, state: TensorDictBase, actions: np.ndarray[Any, Any]) -> TensorDictBase:
        """Show what actions (B,) or (B, K) stand for, but for what is illegal."""
        given = torch.as_tensor(actions, device=self.simulator.device)
        if isinstance(self.simulator, Simulator):
            places = given.long().reshape(-1, self.simulator.slate_size)
            fine = self._legal(state).gather(1, places)
            for place in range(1, places.shape[1]):
                fine[:, place] &= (places[:, :place] != places[:, place, None]).all(1)
            offered = self.simulator.offer_size is not None
            items = state[Key.CANDIDATES].gather(1, places) if offered else places + 1
            given = items * fine
        return self.simulator.step(state.copy().set(Key.ACTION, given))


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


def _begun(state: TensorDictBase | None) -> TensorDictBase:
    if state is None:
        raise gymnasium.error.ResetNeeded("A session begins with reset(); call it before step().")
    return state
