"""The halves of the users: who belongs to which, and whether two stages took disjoint ones.

User model A learns from one half and user model B from the other, so that B can judge what was
learned in A.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Half: TypeAlias = Literal["a", "b", "all"]

OFFERS = "offers"
"""Under which a user model's settings hold its half, and what else decides its offers."""


def in_half(users: NDArray[np.int64], half: Half, seed: int) -> NDArray[np.bool_]:
    """Whether users belong to a half; the halves follow from a hash of row and seed.

    :param users: (U,) rows of the user table.
    """
    if half == "all":
        return np.ones(len(users), bool)
    # splitmix64 (Steele, Lea and Flood 2014): neighbouring rows fall into unrelated halves.
    with np.errstate(over="ignore"):
        x = users.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x & np.uint64(1)) == (0 if half == "a" else 1)


def noted(folder: Path) -> Mapping[str, Any] | None:
    """Read the half that a saved user model was fitted to; None where nothing was noted."""
    settings = folder / "config.json"
    found = json.loads(settings.read_text()).get(OFFERS) if settings.is_file() else None
    return found or None


def overlap(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Say in a sentence that the halves of two stages overlap; None where they do not.

    Who takes all users for a stage has chosen the overlap.

    :param a: ``half`` and ``split_seed`` of the stage users_a.
    :param b: those of the stage users_b.
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


def noted_overlap(a: Path, b: Path) -> str | None:
    """Say in a sentence that the halves that two stages noted overlap; None where they do not.

    :param a: folder of the stage users_a; one that noted no half is not looked at.
    :param b: folder of the stage users_b.
    """
    first, second = noted(a), noted(b)
    return None if first is None or second is None else overlap(first, second)
