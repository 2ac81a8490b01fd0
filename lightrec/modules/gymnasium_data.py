"""What training a policy in a game of Gymnasium needs: the game by its name, actions as items."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightrec.modules.playground import Playground, PolicySetting, SimulatorData, made
from lightrec.policies.tower import TowerPolicy

if TYPE_CHECKING:
    from lightrec.simulators.discrete_gymnasium import DiscreteGymnasium

GameSetting = int | float | str | bool


class GymnasiumData(SimulatorData):
    """Games of a Gymnasium environment whose actions are numbered, as sessions; see
    :mod:`lightrec.simulators.discrete_gymnasium`.

    Item a + 1 is the a-th action, and what is known of items is only which one they are.

    :param environment: its name as ``gymnasium.make`` takes it, such as ``CartPole-v1``.
    :param settings: for ``gymnasium.make``.
    :param scale: what observations are divided by, a number for each, so that they are of order 1.
    :param iterations: iterations of an epoch.
    :param judging: games on which epochs are judged.
    :param seed: not used: all games follow from the recipe's ``seed_everything``.
    """

    slate_size = 1

    def __init__(
        self,
        environment: str,
        settings: dict[str, GameSetting] | None = None,
        scale: list[float] | None = None,
        iterations: int = 10,
        judging: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.environment, self.settings, self.scale = environment, dict(settings or {}), scale
        self.iterations, self.judging = iterations, judging

    def make(self, sessions: int, device: torch.device | str = "cpu") -> "DiscreteGymnasium":
        """Make so many games.

        :raises LightrecError: where gymnasium is not installed, or knows no such environment.
        :raises RecipeError: where the environment cannot be played by showing items.
        """
        # Here, because gymnasium is an optional extra.
        from lightrec.simulators.discrete_gymnasium import DiscreteGymnasium

        return DiscreteGymnasium(
            self.environment, sessions, scale=self.scale, device=device, **self.settings
        )

    @cached_property
    def _small(self) -> "DiscreteGymnasium":
        return self.make(1)

    @property
    def num_items(self) -> int:
        """Number of actions N."""
        return self._small.num_items

    @property
    def vector_size(self) -> int:
        """Length of the item vectors, a place for each action."""
        return self.num_items

    @property
    def vectors(self) -> Tensor:
        """(N + 1, N) float32: a one at each action's own place; row 0 is zero."""
        return torch.cat([torch.zeros(1, self.num_items), torch.eye(self.num_items)])

    def make_policy(self, settings: Mapping[str, PolicySetting]) -> TowerPolicy:
        """Make an untrained policy of two towers, for what is observed."""
        policy = made(
            TowerPolicy,
            {"horizon": self._small.max_steps, **settings},
            num_items=self.num_items,
            vector_size=self.vector_size,
            observation_size=self._small.observation_size,
        )
        return policy.set_items(self.vectors)

    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make the games that are trained in, and those in which epochs are judged."""
        users = torch.arange(self.judging)
        return Playground(self.make(sessions, device), self.make(self.judging, device), users)
