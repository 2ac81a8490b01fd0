"""What training a policy in a game of Gymnasium needs: the game by its name, actions as items."""

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightrec.learners.observed_data import ObservedData

if TYPE_CHECKING:
    from lightrec.simulators.discrete_gymnasium import DiscreteGymnasium

GameSetting = int | float | str | bool


class GymnasiumData(ObservedData):
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

    def __init__(
        self,
        environment: str,
        settings: dict[str, GameSetting] | None = None,
        scale: list[float] | None = None,
        iterations: int = 10,
        judging: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(iterations, judging)
        self.environment, self.settings, self.scale = environment, dict(settings or {}), scale

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
    def observation_size(self) -> int:
        """Length of the observations."""
        return self.make(1).observation_size

    @property
    def vectors(self) -> Tensor:
        """(N + 1, N) float32: a one at each action's own place; row 0 is zero."""
        return torch.cat([torch.zeros(1, self.num_items), torch.eye(self.num_items)])
