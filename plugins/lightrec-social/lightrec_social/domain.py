"""Posts and people: who must not be shown to whom, what a report is worth, and a synthetic log."""

from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from lightrec_formats.masks import between, every
from lightrec_formats.names import in_common, names_in

from lightrec.api import Audience, Column, Domain

MAKER: Final = "maker"
"""The items' attribute: the user who made an item, or who it is where items are people."""
FRIENDS: Final = "friends"
"""The users' attribute: a list of users."""
BLOCKED: Final = "blocked"
"""The users' attribute: a list of users whom they do not want to see."""


class SocialDomain(Domain):
    """Posts of people, or people themselves, each shown until it is chosen.

    Nobody is shown themselves, what they made, or anybody they blocked; and no post is shown before
    the moment of its attribute ``created`` or after that of ``expires``.
    """

    name = "social"
    repeats = False
    feedback = MappingProxyType(
        {"follow": 1.0, "like": 1.0, "comment": 1.0, "share": 2.0, "report": -1.0, "unfollow": -1.0}
    )

    def text(self, items: pl.DataFrame) -> pl.Series:
        """Put posts into words: all that is known but who made them, a bare id, and dates."""
        return super().text(items.drop(MAKER, "created", "expires", strict=False))

    def eligible(self, audience: Audience) -> npt.NDArray[np.bool_] | None:
        """Forbid what users made themselves, what people made whom they blocked, and what is over.

        :returns: (U, N) bool; None where the items name neither makers nor when they expire.
        """
        users, items, others = audience.users, audience.items, None
        if MAKER in items.columns:
            names = [name for name in (Column.USER, BLOCKED) if name in users.columns]
            own = [in_common(users[name], items[MAKER]) for name in names]
            others = np.sum(own, 0) == 0
        return every(audience, others, between(audience, "created", "expires"))

    def words_of(self, attribute: str, items: pl.DataFrame) -> list[str]:
        """Let people block whoever made an item."""
        return names_in(items, MAKER) if attribute == BLOCKED else []

    def synthetic(self, folder: Path, seed: int) -> Path:
        """Write the synthetic log of :mod:`lightrec_social.made_up`."""
        from lightrec_social.made_up import posts  # whoever asks only for words needs none

        return posts(folder, seed)
