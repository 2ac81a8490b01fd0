"""What training a policy in a world needs: the world by its name, and what may be seen of items."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.modules.playground import Playground, PolicySetting, SimulatorData, made
from lightrec.policies.tower import TowerPolicy
from lightrec.simulators.world import World

WorldSetting = int | float | str | bool


class WorldData(SimulatorData):
    """Sessions in a world whose laws are written down; no log is needed.

    :param world: short name of an installed simulator that is a world, such as ``Greed``.
    :param settings: of its constructor, such as ``slate_size``.
    :param iterations: iterations of an epoch.
    :param judging: sessions on which epochs are judged.
    :param seed: not used: a world's items follow from its own ``seed`` in ``settings``.
    """

    def __init__(
        self,
        world: str,
        settings: dict[str, WorldSetting] | None = None,
        iterations: int = 10,
        judging: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.world, self.settings = world, dict(settings or {})
        self.iterations, self.judging = iterations, judging

    def make(self, sessions: int, device: torch.device | str = "cpu") -> World:
        """Make the world with so many sessions.

        :raises PluginError: where no installed package provides it.
        :raises RecipeError: where it is no world, or has no such setting.
        """
        kind: Any = plugins.installed().get("simulators", self.world).load()
        if not issubclass(kind, World):
            raise RecipeError(
                f"{self.world} is no world: it needs more than a name. Take a world, such as Greed."
            )
        try:
            world: World = kind(sessions, device=device, **self.settings)
        except TypeError as error:
            raise RecipeError(
                f"{self.world} cannot be made with settings {self.settings}: {error}."
            ) from None
        return world

    @cached_property
    def _small(self) -> World:
        return self.make(1)

    @property
    def slate_size(self) -> int:
        """Items shown in a step."""
        return self._small.slate_size

    @property
    def num_items(self) -> int:
        """Number of items N."""
        return self._small.num_items

    @property
    def vector_size(self) -> int:
        """Length of the world's item vectors."""
        return self._small.item_vectors.shape[1]

    @property
    def vectors(self) -> Tensor:
        """(N + 1, D) float32: what may be seen of items."""
        return self._small.item_vectors

    def make_policy(self, settings: Mapping[str, PolicySetting]) -> TowerPolicy:
        """Make an untrained policy of two towers, for what the world lets policies see."""
        policy = made(
            TowerPolicy,
            {"horizon": self._small.max_steps, **settings},
            num_items=self.num_items,
            vector_size=self.vector_size,
            observation_size=self._small.observation_size,
        )
        return policy.set_items(self.vectors)

    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make the world twice."""
        users = torch.arange(self.judging)
        return Playground(self.make(sessions, device), self.make(self.judging, device), users)
