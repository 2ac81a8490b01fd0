"""User towers: from the items of a history to a user vector at every position.

A ranker names its tower by class: one of those imported here, or ``module:Class`` of a plugin.
"""

import inspect
from collections.abc import Callable

from lightrec.errors import RecipeError
from lightrec.nn.towers.base import UserTower
from lightrec.nn.towers.gru import GRU
from lightrec.nn.towers.ligr import LigrTransformer
from lightrec.nn.towers.pooling import MeanPooling
from lightrec.nn.towers.transformer import CausalTransformer
from lightrec.trust import trusted_class

__all__ = [
    "GRU",
    "TOWERS",
    "CausalTransformer",
    "LigrTransformer",
    "MeanPooling",
    "UserTower",
    "build_tower",
    "find_tower",
]

TOWERS: dict[str, type[UserTower]] = {
    kind.__name__: kind for kind in (CausalTransformer, LigrTransformer, GRU, MeanPooling)
}
"""lightrec's own towers by short name."""


def find_tower(name: str) -> type[UserTower]:
    """Find a tower's class.

    :param name: a short name of :data:`lightrec.nn.towers.TOWERS`, or ``module:Class``.
    :raises RecipeError: where a short name is not known.
    :raises RunError: where a class is not trusted, is not there, or is no tower.
    """
    if name in TOWERS:
        return TOWERS[name]
    if ":" not in name:
        raise RecipeError(
            f"There is no user tower {name!r}. Name one of {', '.join(TOWERS)}, or a class of your "
            "own as module:Class."
        )
    return trusted_class(name, UserTower)


def build_tower(
    make: Callable[..., UserTower],
    size: int,
    layers: int,
    heads: int,
    feedforward: int,
    dropout: float,
) -> UserTower:
    """Build a tower as a ranker does.

    :param make: the class, or what else makes one; it is given those of the settings that it takes
        by name, and ``size`` always.
    :param size: width D.
    :param layers: how many layers.
    :param heads: how many attention heads, or groups of features.
    :param feedforward: inner width of layers as a multiple of D.
    :param dropout: probability.
    :raises ValueError: where the settings do not fit each other.
    """
    settings = {"layers": layers, "heads": heads, "feedforward": feedforward, "dropout": dropout}
    taken = inspect.signature(make).parameters
    return make(size=size, **{name: value for name, value in settings.items() if name in taken})
