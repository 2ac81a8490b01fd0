"""Games of Gymnasium as simulators: each of its numbered actions is an item.

For learners that are measured on the field's common problems, such as CartPole-v1.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import TensorSpec, Unbounded

from lightrec.api import Key, RecipeError, Response, Simulator


class DiscreteGymnasium(Simulator):
    """B games of a Gymnasium environment side by side, each a session.

    Item a + 1 stands for the a-th action, and showing it takes the action; nothing is accepted, so
    that histories stay empty. What is known of items is only which one they are: ``item_vectors``
    (N + 1, N) has a one at each action's own place. State, next to a simulator's keys:
    ``observation`` (B, F) float32, what Gymnasium gives, flattened, and ``true_reward`` (B, 1)
    float32, the game's own, which policies are paid. A game that ends is ``terminated``, one that
    is cut, by its limit of steps or otherwise, ``truncated``; one that does both has ended.

    A game is kept by Gymnasium and not in the state, so that it can only go on from where it is.
    One that is over stands still until its row is reset, which seeds it with the session's number.

    :param name: as ``gymnasium.make`` takes it, such as ``CartPole-v1``.
    :param batch_size: games B.
    :param settings: for ``gymnasium.make``.
    :param scale: what observations are divided by, a number for each of the F; none by default.
    :param device: where everything but the games is computed.
    :raises RecipeError: where no environment has that name, its actions are not numbered, nothing
        limits its steps, or the scale does not fit.
    """

    def __init__(
        self,
        name: str,
        batch_size: int,
        *,
        settings: dict[str, Any] | None = None,
        scale: list[float] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        how = {"disable_env_checker": True, **(settings or {})}  # it looks at each step's types
        try:
            self.games = [gymnasium.make(name, **how) for _ in range(batch_size)]
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            raise RecipeError(
                f"Gymnasium knows no environment '{name}': {error} Import the package that "
                "registers it first, or look at gymnasium.registry for the names."
            ) from error
        actions, limit = self.games[0].action_space, self.games[0].spec.max_episode_steps
        if not isinstance(actions, spaces.Discrete):
            raise RecipeError(
                f"The actions of {name} are {actions}, which are no items; take an environment "
                "whose action space is Discrete."
            )
        if limit is None:
            raise RecipeError(
                f"Nothing limits the steps of {name}; give max_episode_steps among its settings."
            )
        self.observation_size: int = spaces.flatdim(self.games[0].observation_space)
        self._scale = np.ones(self.observation_size) if scale is None else np.asarray(scale)
        if self._scale.shape != (self.observation_size,) or not (self._scale > 0).all():
            raise RecipeError(
                f"The scale {scale} does not fit {name}: give {self.observation_size} positive "
                "numbers, one for each that is observed."
            )
        self._seen = np.zeros((batch_size, self.observation_size), np.float32)
        self._over = np.ones((batch_size, 2), bool)  # whether a game has ended, was cut
        self._at = np.zeros((batch_size, 2), np.int64)  # a game's session and steps
        super().__init__(
            int(actions.n),
            batch_size,
            history_length=1,
            max_steps=limit,
            repeats=True,
            device=device,
        )
        self.item_vectors = torch.eye(self.num_items + 1, device=self.device)[:, 1:]

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce what is observed."""
        seen = Unbounded(self._seen.shape, device=self.device)
        return {Key.OBSERVATION: seen, Key.TRUE_REWARD: self._numbers(1)}

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin games, each seeded with its session's number."""
        numbers = session.squeeze(1).tolist()
        for row, number in zip(rows.tolist(), numbers, strict=True):
            # Gymnasium's seeds are never negative.
            observation, _ = self.games[row].reset(seed=number & (2**63 - 1))
            self._see(row, observation)
            self._over[row], self._at[row] = False, (number, 0)
        state = {Key.USER: rows.to(self.device), Key.OBSERVATION: self._observed(rows.numpy())}
        return TensorDict(state, batch_size=[len(rows)], device=self.device)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take the actions.

        :raises ValueError: where a place is empty, or a state is not where its game is.
        """
        if not bool((slate > 0).all()):
            raise ValueError("A game's action is missing: the slate is empty, and must hold one.")
        live = np.flatnonzero(~self._over.any(1))
        at = torch.cat([state[Key.SESSION], state[Key.STEP]], 1).cpu().numpy()
        if (at[live] != self._at[live]).any():
            raise ValueError(
                "A state is not the one in which its game stands. Gymnasium keeps its games "
                "itself: go on from what the last step or reset gave."
            )
        paid = torch.zeros(len(slate), 1)
        for row, item in zip(live.tolist(), slate[live, 0].tolist(), strict=True):
            game = self.games[row]
            action = game.action_space.start + item - 1
            observation, paid[row], ended, cut, _ = game.step(action)
            self._see(row, observation)
            self._over[row] = ended, cut
        self._at[live, 1] += 1
        nothing = torch.zeros_like(slate, dtype=torch.bool)
        changed = {Key.OBSERVATION: self._observed(), Key.TRUE_REWARD: paid.to(self.device)}
        ended = torch.tensor(self._over[:, 0], device=self.device)
        return Response(nothing, nothing.float(), ended, changed)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        following = super()._step(tensordict)
        cut = torch.tensor(self._over[:, 1:], device=self.device)
        following["truncated"] = (following["truncated"] | cut) & ~following["terminated"]
        following["done"] = following["truncated"] | following["terminated"]
        return following

    def _see(self, row: int, observation: object) -> None:
        flat = spaces.flatten(self.games[row].observation_space, observation)
        self._seen[row] = flat / self._scale

    def _observed(self, rows: np.ndarray[Any, Any] | slice = slice(None)) -> Tensor:
        return torch.tensor(self._seen[rows], device=self.device)
