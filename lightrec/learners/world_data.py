"""What training a policy in a world needs: the world by its name, and what may be seen of items."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightrec import plugins
from lightrec.encoders.base import Encoder, text_vectors
from lightrec.errors import RecipeError
from lightrec.learners.observed_data import ObservedData
from lightrec.simulators.world import World

WorldSetting = int | float | str | bool | list[int]


class WorldData(ObservedData):
    """Sessions in a world whose laws are written down; no log is needed.

    Policies see items as the world's vectors, or as vectors of their titles and texts: then an item
    that is added later can be shown as soon as it has a text, see
    :meth:`~lightrec.policies.tower.TowerPolicy.with_items`.

    :param world: short name of an installed simulator that is a world, such as ``Greed``.
    :param settings: of its constructor, such as ``slate_size``.
    :param iterations: iterations of an epoch.
    :param judging: sessions on which epochs are judged.
    :param text_encoder: makes the items' vectors from their titles and texts; null takes the
        world's own vectors, which say more than a text can.
    :param seed: not used: a world's items follow from its own ``seed`` in ``settings``.
    """

    def __init__(
        self,
        world: str,
        settings: dict[str, WorldSetting] | None = None,
        iterations: int = 10,
        judging: int = 256,
        text_encoder: Encoder | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(iterations, judging)
        self.world, self.settings = world, dict(settings or {})
        self.text_encoder = text_encoder

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
    def _world(self) -> World:
        return self.make(1)

    @property
    def observation_size(self) -> int:
        """Length of the world's observations; 0 for none."""
        return self._world.observation_size

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, D) float32: what may be seen of items."""
        if self.text_encoder is None:
            return self._world.item_vectors
        return text_vectors(self._world.catalog(), self.text_encoder)

    @property
    def meanings(self) -> Tensor | None:
        """(N + 1, M) the world's own vectors, for which texts are read."""
        return None if self.text_encoder is None else self._world.item_vectors
