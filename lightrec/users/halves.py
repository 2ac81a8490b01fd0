"""The halves of the users: user model A learns from one, and B, which judges, from the other."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Half: TypeAlias = Literal["a", "b", "all"]
OTHER: Final[dict[Half, Half]] = {"a": "b", "b": "a", "all": "all"}

OFFERS = "offers"
"""The key of a user model's settings under which it notes its half."""


def in_half(users: NDArray[np.int64], half: Half, seed: int) -> NDArray[np.bool_]:
    """Whether users (U,), rows of the user table, belong to a half, by a hash of row and seed."""
    if half == "all":
        return np.ones(len(users), bool)
    # splitmix64 (Steele, Lea and Flood 2014): neighbouring rows fall into unrelated halves.
    with np.errstate(over="ignore"):
        x = users.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x & np.uint64(1)) == (0 if half == "a" else 1)


def overlap(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Say that the halves of two stages overlap; None if not, or if one is ``all``.

    :param a: ``half`` and ``split_seed`` of the stage users_a; ``b`` are those of users_b.
    """
    seeds = a["split_seed"], b["split_seed"]
    if seeds[0] == seeds[1] or "all" in (a["half"], b["half"]):
        return None
    return (
        f"The stage users_a splits the users into halves by seed {seeds[0]} and users_b by "
        f"seed {seeds[1]}, so that user model B would judge with users from whom user model A "
        "learned. Give both stages the same seed_everything, as `lightrec run --seed` does, or "
        "the same data.init_args.split_seed."
    )
