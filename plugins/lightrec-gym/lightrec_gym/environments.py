"""Outside agents play simulators: a session as an environment of Gymnasium."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Composite, TensorSpec

from lightrec.api import PADDING, Key, SessionEnv, Simulator

HIDDEN = (Key.LATENT, Key.TRUE_REWARD, Key.SESSION, Key.USER, Key.MASK)
"""Keys that no agent observes: truths, numbers of sessions and rows, and the mask, which stands in
``info``."""
VECTORS = "candidate_vectors"
"""The observation of what may be seen of the candidates, (C, D) float32."""

Observation = dict[str, np.ndarray[Any, Any]]


class SimulatorEnv(gymnasium.Env[Observation, Any]):
    """One session of a simulator, for agents of Gymnasium.

    **Observation:** a ``Dict`` of the state's keys that policies may see; ``candidate_vectors``
    too, where a world makes offers. What only a world knows, its true reward and the session's
    number are not there.

    **Action:** a number p for each place of the slate, ``Discrete`` or ``MultiDiscrete``: it stands
    for item p + 1 of the catalog, or for the candidate offered in column p. Simulators whose
    actions are no items keep theirs, as a ``Box``.

    **Illegal actions:** ``info["action_mask"]``, as ``action_space.sample(mask)`` takes it, holds 1
    for every number that may be chosen. Another item, or one that stands in the slate already, is
    not shown: its place in the slate stays empty, and the session continues.

    ``reset(seed=…)`` seeds the simulator; the same seed and actions have the same consequences.

    :param simulator: with one session.
    :raises ValueError: where it has several.
    """

    def __init__(self, simulator: SessionEnv) -> None:
        if tuple(simulator.batch_size) != (1,):
            raise ValueError(
                f"The simulator has batch size {tuple(simulator.batch_size)}; a Gymnasium "
                "environment is one session. Build it with batch_size=1."
            )
        self.simulator = simulator
        seen = {
            name: _space(spec)
            for name, spec in simulator.observation_spec.items()
            if name not in HIDDEN and not isinstance(spec, Composite)
        }
        self.action_space = _space(simulator.action_spec)
        self._vectors: Tensor | None = None
        self._shows = isinstance(simulator, Simulator)
        if self._shows:
            size, places = simulator.offer_size or simulator.num_items, simulator.slate_size
            several = spaces.MultiDiscrete([size] * places)
            self.action_space = several if places > 1 else spaces.Discrete(size)
            if simulator.offer_size is not None:
                self._vectors = getattr(simulator, "item_vectors", None)
        if self._vectors is not None:
            shape = (simulator.offer_size, self._vectors.shape[1])
            seen[VECTORS] = spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.observation_space = spaces.Dict(seen)
        self._state: TensorDictBase | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a session.

        :param seed: of the simulator's chance; None continues with it.
        :param options: there are none.
        """
        super().reset(seed=seed)
        if seed is not None:
            self.simulator.set_seed(seed)
        self._state = self.simulator.reset()
        return self._observe()

    @torch.no_grad()
    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show what an action stands for, but for what is illegal.

        :raises gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gymnasium.error.ResetNeeded("Call reset() before step(): it begins a session.")
        chosen = torch.as_tensor(np.asarray(action), device=self.simulator.device)[None]
        if self._shows:
            numbers = chosen.flatten().tolist()
            first = [number not in numbers[:place] for place, number in enumerate(numbers)]
            chosen = self._choices()[None, numbers] * torch.tensor(first, device=chosen.device)
        following = self.simulator.step(self._state.copy().set(Key.ACTION, chosen))["next"]
        self._state = following.exclude("reward")
        reward, ended, cut = (following[k].item() for k in ("reward", "terminated", "truncated"))
        observation, info = self._observe()
        return observation, reward, ended, cut, info

    def _observe(self) -> tuple[Observation, dict[str, Any]]:
        """The part of the state that agents may see, and the mask of what may be shown."""
        assert self._state is not None
        seen = {name: self._state[name] for name in self.observation_space if name != VECTORS}
        if self._vectors is not None:
            seen[VECTORS] = self._vectors[self._state[Key.CANDIDATES]]
        seen = {n: x.to(torch.int8) if x.dtype == torch.bool else x for n, x in seen.items()}
        observation = {name: part[0].cpu().numpy().copy() for name, part in seen.items()}
        if not self._shows:
            return observation, {}
        mask = (self._choices() > PADDING).cpu().numpy().astype(np.int8)
        places = self.simulator.slate_size
        return observation, {"action_mask": mask if places == 1 else (mask,) * places}

    def _choices(self) -> Tensor:
        """The item that each number stands for, (N,) or (C,) int64; 0 for what is illegal."""
        assert self._state is not None
        if Key.CANDIDATES in self._state:
            return self._state[Key.CANDIDATES][0]
        mask = self._state[Key.MASK][0]
        return (mask * torch.arange(len(mask), device=mask.device))[1:]


def _space(spec: TensorSpec) -> Any:
    """The space of one session's part of a spec."""
    shape = tuple(spec.shape[1:])
    if isinstance(spec, Binary):
        return spaces.MultiBinary(shape)
    box = spec.space
    low, high = (getattr(box, end)[0].cpu().numpy() for end in ("low", "high"))
    if low.dtype.kind == "f":  # TorchRL writes the largest number where there is no bound
        low = np.where(low <= np.finfo(low.dtype).min, -np.inf, low)
        high = np.where(high >= np.finfo(high.dtype).max, np.inf, high)
    return spaces.Box(low, high, shape, high.dtype.type)
